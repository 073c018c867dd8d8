"""The simulation on which the paper about scale stands agrees with what can be told without it."""

import pytest

from tests.bench.scale import Burden, Costs, Plan, simulate

COSTS = Costs(node=0.0004, message=0.0001, transaction=0.0002, commit=0.001, bus=0.002)
SECONDS = 20.0


def test_alone_a_message_takes_the_sum_of_its_parts() -> None:
    """Half of its node's work before the commit and half after, on average one hop of two over the bus."""
    outcome = simulate(Plan(nodes=2, database_cores=4, per_second=1), COSTS, SECONDS)
    assert outcome.latencies
    without_bus = COSTS.node + COSTS.transaction + COSTS.message / 2 + COSTS.commit
    assert {round(each, 6) for each in outcome.latencies} == {round(without_bus + bus, 6) for bus in (0, COSTS.bus)}


@pytest.mark.parametrize("nodes", [1, 3])
def test_processors_are_as_busy_as_their_work(nodes: int) -> None:
    """Rate times cost; the database has a transaction for each message and each ack that comes alone."""
    outcome = simulate(Plan(nodes, database_cores=2, per_second=100), COSTS, SECONDS)
    assert outcome.node_busy == pytest.approx(100 * COSTS.node / nodes, rel=0.1)
    work = outcome.transactions * COSTS.transaction / SECONDS + 100 * COSTS.message
    assert outcome.database_busy == pytest.approx(work / 2, rel=0.1)


def test_what_cannot_go_through_is_told() -> None:
    """Two nodes take 5,000 a second, and not 6,000; half of a processor of the database is too few for them."""
    fits = Plan(nodes=2, database_cores=2, per_second=4_000)
    assert simulate(fits, COSTS, 3.0).latencies
    assert simulate(Plan(2, 2, per_second=6_000), COSTS, 3.0).latencies is None
    heavy = Costs(node=0.0001, message=0.001, transaction=0.0002, commit=0.001, bus=0.002)
    assert simulate(Plan(2, 1, per_second=1_500), heavy, 3.0).latencies is None


def test_the_busier_the_larger_the_groups() -> None:
    """Transactions grow slower than messages: what waits is joined."""
    few, many = (simulate(Plan(1, 2, per_second=rate), COSTS, SECONDS) for rate in (100, 2_000))
    assert many.transactions < 0.5 * 20 * few.transactions


def test_costs_are_taken_from_two_shapes() -> None:
    """A message and a transaction are two unknowns in two equations."""
    figures = {
        "two_nodes_routed_database_cpu_us": 100 + 0.5 * 200,
        "two_nodes_batched_database_cpu_us": 100 + 0.01 * 200,
        "two_nodes_routed_transactions": 0.5,
        "two_nodes_batched_transactions": 0.01,
        "two_nodes_routed_node_cpu_us": 400,
    }
    costs = Costs.read(figures, 0.001, 0.002)
    assert (costs.message, costs.transaction, costs.node) == pytest.approx((0.0001, 0.0002, 0.0004))


def test_what_is_kept_grows_with_days_and_people() -> None:
    """The log with the peak; and who was at a dead node comes back at all the others."""
    figures = {"two_nodes_routed_wal": 2_000, "two_nodes_routed_kept": 150, "one_node_logins_per_second": 100}
    burden = Burden.read(figures, Plan(nodes=5, database_cores=8, per_second=1_000), 40e6, 60, connected=100_000)
    assert (burden.log, burden.kept) == (2e6, 40e6 * 60 * 150)
    assert burden.return_ == pytest.approx(20_000 / 400)
    alone = Burden.read(figures, Plan(nodes=1, database_cores=8, per_second=1_000), 40e6, 60, connected=1_000)
    assert alone.return_ == pytest.approx(10)
