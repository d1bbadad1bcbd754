"""`python -m tr2m_plugin.cli`, where the command is not on the path."""

import sys

from tr2m_plugin.cli import main

sys.exit(main())
