import sys

from tr2m_plugin.tools.test import main

sys.exit(main())
