import sys

from tr2m_plugin.tools.train import main

sys.exit(main())
