"""What people and operators see is the same with the store on a PostgreSQL server: the tests of it, once more there."""

from tests.e2e.abuse.test_audit import *  # noqa: F403
from tests.e2e.abuse.test_flows_blocking_deletion import *  # noqa: F403
from tests.e2e.abuse.test_flows_reports import *  # noqa: F403
from tests.e2e.keys.test_flows_keys import *  # noqa: F403
from tests.e2e.messaging.test_conversation import *  # noqa: F403
from tests.e2e.messaging.test_flows_offline import *  # noqa: F403
from tests.e2e.messaging.test_flows_receipts import *  # noqa: F403
from tests.e2e.operator.test_journal import *  # noqa: F403
