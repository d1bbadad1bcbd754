"""What several tests share: small networks, toy trainings, other people's models, publishers' folders."""
