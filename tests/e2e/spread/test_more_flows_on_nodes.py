"""As its neighbour: files, consent, the upkeep of keys, standing, and what operators see."""

from tests.e2e.abuse.test_flows_challenges import *  # noqa: F403
from tests.e2e.abuse.test_flows_standing import *  # noqa: F403
from tests.e2e.consent.test_flows_first_contact import *  # noqa: F403
from tests.e2e.consent.test_flows_optin import *  # noqa: F403
from tests.e2e.consent.test_flows_profiles import *  # noqa: F403
from tests.e2e.consent.test_flows_reachability import *  # noqa: F403
from tests.e2e.keys.test_flows_kem import *  # noqa: F403
from tests.e2e.keys.test_flows_key_upkeep import *  # noqa: F403
from tests.e2e.media.test_flows_media import *  # noqa: F403
from tests.e2e.media.test_flows_media_retry import *  # noqa: F403
from tests.e2e.messaging.test_flows_finished import *  # noqa: F403
from tests.e2e.messaging.test_flows_retry import *  # noqa: F403
from tests.e2e.operator.test_flows_operator import *  # noqa: F403
