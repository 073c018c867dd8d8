"""What people see is the same when they are connected to different nodes: the tests of it, once more there."""

from tests.e2e.abuse.test_flows_blocking_deletion import *  # noqa: F403
from tests.e2e.abuse.test_flows_reports import *  # noqa: F403
from tests.e2e.keys.test_flows_keys import *  # noqa: F403
from tests.e2e.messaging.test_conversation import *  # noqa: F403
from tests.e2e.messaging.test_flows_contents import *  # noqa: F403
from tests.e2e.messaging.test_flows_offline import *  # noqa: F403
from tests.e2e.messaging.test_flows_receipts import *  # noqa: F403
from tests.e2e.messaging.test_flows_typing import *  # noqa: F403
