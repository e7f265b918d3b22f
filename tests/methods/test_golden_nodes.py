"""Published numbers: reference/node-path-balancing.md, sections 1 to 3. ResNet-20, 3x32x32, paper convention."""

from math import log10
from statistics import mean

import pytest
from golden import masks, paper

from nodepath.controls import shuffle

DENSE_NODES = 701

# Section 2: c -> effective nodes of SynFlow, of the ICLR method, paths of the ICLR method.
SYNFLOW_NODES = {1: 417, 1.5: 257, 2: 147}
ICLR_NODES = {1: 462, 1.5: 307, 2: 191}
ICLR_PATHS = {1: 9.87e37, 1.5: 1.62e32, 2: 5.63e26}


@pytest.mark.parametrize("c", SYNFLOW_NODES)
class TestOneSeed:
    """Within the one-seed noise of section 1: .03 of the nodes, .01 of the dense log paths, 49.335."""

    def test_synflow_keeps_the_nodes_of_the_paper(self, c):
        assert paper(masks("synflow", c, 0)).nodes == pytest.approx(SYNFLOW_NODES[c], abs=0.03 * DENSE_NODES)

    def test_synflow_npb_keeps_the_nodes_and_paths_of_the_paper(self, c):
        topo = paper(masks("synflow-npb", c, 0))
        assert topo.nodes == pytest.approx(ICLR_NODES[c], abs=0.03 * DENSE_NODES)
        assert topo.log10_paths == pytest.approx(log10(ICLR_PATHS[c]), abs=0.01 * 49.335)


@pytest.mark.slow
@pytest.mark.parametrize("c", SYNFLOW_NODES)
class TestMeanOfFiveSeeds:
    def test_synflow_keeps_the_nodes_of_the_paper(self, c):
        assert mean(paper(masks("synflow", c, s)).nodes for s in range(5)) == pytest.approx(SYNFLOW_NODES[c], rel=0.03)

    def test_synflow_npb_keeps_the_nodes_and_paths_of_the_paper(self, c):
        found = [paper(masks("synflow-npb", c, seed)) for seed in range(5)]
        assert mean(topo.nodes for topo in found) == pytest.approx(ICLR_NODES[c], rel=0.03)
        assert mean(topo.log10_paths for topo in found) == pytest.approx(log10(ICLR_PATHS[c]), abs=0.2)


# Section 1, calibration: c -> (node ratio, path ratio), one seed.
SYNFLOW = {0.5: (0.874, 0.902), 1: (0.588, 0.796), 1.5: (0.362, 0.690), 2: (0.204, 0.589), 2.5: (0.117, 0.484)}
SHUFFLED = {0.5: (1.000, 0.885), 1: (1.000, 0.716), 1.5: (0.997, 0.520), 2: (0.842, 0.323), 2.5: (0.301, 0.156)}
FAST_OR_SLOW = [1, 1.5, 2, pytest.param(0.5, marks=pytest.mark.slow), pytest.param(2.5, marks=pytest.mark.slow)]


@pytest.mark.parametrize("c", FAST_OR_SLOW)
def test_synflow_stands_where_the_calibration_has_it(c):
    """One-seed noise up to 99 %: .03 of the nodes, .01 of the paths; beyond, .05."""
    topo = paper(masks("synflow", c, 0))
    assert topo.node_ratio == pytest.approx(SYNFLOW[c][0], abs=0.03 if c <= 2 else 0.05)
    assert topo.path_ratio == pytest.approx(SYNFLOW[c][1], abs=0.01 if c <= 2 else 0.05)


@pytest.mark.parametrize("c", FAST_OR_SLOW)
def test_synflow_shuffled_stands_where_the_calibration_has_it(c):
    """One-seed noise, up to 99 %: .03 of the nodes (SynFlow's own), .02 of the paths."""
    found = [paper(shuffle(masks("synflow", c, seed), seed=seed)) for seed in range(3)]
    assert mean(topo.node_ratio for topo in found) == pytest.approx(SHUFFLED[c][0], abs=0.03 if c <= 2 else 0.05)
    assert mean(topo.path_ratio for topo in found) == pytest.approx(SHUFFLED[c][1], abs=0.02 if c <= 2 else 0.05)


# Section 1, ERK random, exact counts, 12 seeds: c -> ((node ratio, sd), (path ratio, sd)).
ERK = {
    0.5: ((1.000, 0.0), (0.881, 0.0)),
    1: ((1.000, 0.0), (0.685, 0.0)),
    1.5: ((1.000, 0.0), (0.484, 0.001)),
    2: ((0.956, 0.006), (0.288, 0.003)),
    2.5: ((0.507, 0.031), (0.122, 0.005)),
}


UNEXPLAINED = pytest.mark.xfail(
    strict=True,
    reason="ours is .39, and so are random cells at exact ERK counts drawn and counted apart",
)


class TestErk:
    """Two means of 12 seeds differ by at most 4 * sd * sqrt(2 / 12), and by the rounding of the table."""

    @pytest.mark.parametrize("c", [0.5, 1, 1.5, 2, pytest.param(2.5, marks=UNEXPLAINED)])
    def test_keeps_the_nodes_of_the_calibration(self, c):
        """At 99 % the reference says 670 nodes (.956) here and 660 (.942) in section 3; ours lies between."""
        nodes, sd = ERK[c][0]
        found = mean(paper(masks("erk", c, seed)).node_ratio for seed in range(12))
        assert found == pytest.approx(nodes, abs=4 * sd * 0.41 + 0.003)

    @pytest.mark.parametrize("c", ERK)
    def test_keeps_the_paths_of_the_calibration(self, c):
        paths, sd = ERK[c][1]
        found = mean(paper(masks("erk", c, seed)).path_ratio for seed in range(12))
        assert found == pytest.approx(paths, abs=4 * sd * 0.41 + 0.001)


def test_erk_at_99_percent_stands_where_the_comparison_with_npb_has_it():
    """Section 3, one seed: 660 nodes, path ratio .290, 2,586 effective weights (our sd over seeds: 6, .003, 20)."""
    found = [paper(masks("erk", 2, seed)) for seed in range(12)]
    assert mean(topo.nodes for topo in found) == pytest.approx(660, abs=15)
    assert mean(topo.path_ratio for topo in found) == pytest.approx(0.290, abs=0.008)
    assert mean(topo.effective for topo in found) == pytest.approx(2586, abs=60)


@pytest.mark.parametrize(("c", "nodes", "within"), [(1, 680, 0.06), (1.5, 642, 0.06), (2, 475, 0.08)])
def test_global_random_keeps_the_nodes_of_the_paper(c, nodes, within):
    assert mean(paper(masks("random", c, seed)).nodes for seed in range(5)) == pytest.approx(nodes, rel=within)


@pytest.mark.parametrize(("c", "ratio", "within"), [(1, 0.695, 0.01), (2, 0.416, 0.04)])
def test_npb_keeps_all_nodes_and_the_paths_of_the_exact_solution(c, ratio, within):
    """Section 3: alpha .5, beta 0."""
    topo = paper(masks("npb", c, 0, alpha=0.5, beta=0.0))
    assert topo.nodes == DENSE_NODES
    assert topo.path_ratio == pytest.approx(ratio, abs=within)


def test_npb_that_favours_nodes_has_them_all_but_a_narrow_effective_width():
    """Sections 3 and 7: alpha .99, beta .001, max_p 5 at 99 %, each layer optimal to the last digit."""
    topo = paper(masks("npb", 2, 0, alpha=0.99, beta=0.001, max_per_kernel=5, slack=0.0))
    assert topo.nodes == DENSE_NODES
    assert topo.path_ratio == pytest.approx(0.302, abs=0.01)
    assert topo.effective_width == pytest.approx(163, abs=15)


def test_npb_with_slack_is_three_times_as_wide_at_the_same_nodes_and_paths():
    topo = paper(masks("npb", 2, 0, alpha=0.99, beta=0.001, max_per_kernel=5))
    assert topo.nodes == DENSE_NODES
    assert topo.path_ratio == pytest.approx(0.302, abs=0.01)
    assert topo.effective_width > 500


@pytest.mark.parametrize(("c", "width", "ratio"), [(1, 590, 0.69), (1.5, 370, 0.54), (2, 190, 0.41)])
def test_npb_by_default_keeps_all_nodes_more_paths_than_erk_and_a_good_width(c, width, ratio):
    """With optima to the last digit and columns of any kind: effective width 169, 97, 51, ratio .695, .531, .438."""
    for seed in range(3):
        topo = paper(masks("npb", c, seed))
        assert topo.nodes == DENSE_NODES
        assert topo.kept == topo.effective
        assert topo.effective_width > width
        assert topo.path_ratio > ratio


def test_npb_with_alpha_goes_from_paths_to_nodes():
    """At 99 % alpha 0 has more paths than SynFlow (.589), alpha 1 all nodes with nearly equal shares."""
    found = [paper(masks("npb", 2, 0, alpha=alpha)) for alpha in (0.0, 0.5, 1.0)]
    ratios, widths = [topo.path_ratio for topo in found], [topo.effective_width for topo in found]
    assert ratios == sorted(ratios, reverse=True)
    assert widths == sorted(widths)
    assert ratios[0] > 0.589
    assert widths[-1] > 0.95 * DENSE_NODES
