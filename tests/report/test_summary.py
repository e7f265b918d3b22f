from made_up import comparison, result, study, topology

from nodepath.report import rows_from_results, two_sentences


def said(*runs):
    return two_sentences(rows_from_results(runs))


def run(method, seed, accuracy, *, nodes=0.5, paths=0.5, sparsity=0.9):
    return result(method, sparsity, seed, accuracy_last=accuracy, topology=topology(nodes, paths, sparsity))


def test_leaders_at_the_highest_sparsity_are_named():
    text = said(
        run("wide", 0, 0.90, nodes=0.9, paths=0.4, sparsity=0.99),
        run("wide", 1, 0.92, nodes=0.8, paths=0.4, sparsity=0.99),
        run("deep", 0, 0.80, nodes=0.3, paths=0.7, sparsity=0.99),
        run("deep", 1, 0.81, nodes=0.3, paths=0.7, sparsity=0.99),
        run("other", 0, 0.99, nodes=1.0, paths=0.9, sparsity=0.5),
    )
    assert text.startswith(
        "At 99 % sparsity wide keeps the most nodes (85.0 % of the dense network's) and deep the most"
    )
    assert "(path ratio 0.700)" in text
    assert "wide, the one with the most nodes, trains best there, with 91.0 % after the last epoch" in text
    assert "(mean of 2 seeds, 90.0 % to 92.0 %), before deep with 80.5 % (mean of 2 seeds, 80.0 % to 81.0 %)" in text
    assert text.endswith("their ranges over seeds do not meet.")


def test_overlapping_ranges_leave_the_order_open():
    text = said(run("a", 0, 0.90), run("a", 1, 0.94), run("b", 0, 0.91), run("b", 1, 0.92), run("c", 0, 0.5))
    assert "its range over seeds meets that of b, so the order is open" in text
    assert "do not meet" not in text


def test_one_seed_tells_no_spread():
    assert "with one run the spread is unknown, so the order is open" in said(run("a", 0, 0.9), run("b", 0, 0.8))


def test_equal_counts_have_no_winner():
    text = said(run("a", 0, 0.9, nodes=0.5, paths=0.6), run("b", 0, 0.8, nodes=0.5, paths=0.5))
    assert "(50.0 % of the dense network's, as many as b)" in text


def test_collapsed_masks_and_the_dense_network_are_mentioned():
    text = two_sentences(rows_from_results(study()))
    assert "; snip leaves no path. npb" in text
    assert "the dense network reaches 97.8 %" in text


def test_a_method_that_collapses_for_one_seed_is_said_to():
    text = said(run("a", 0, 0.9), run("b", 0, 0.5), result("b", 0.9, 1, topology=topology(0.0, 0.0, 0.9)))
    assert "; b leaves no path in 1 of 2 masks." in text


def test_nothing_is_said_of_accuracy_that_nobody_measured():
    text = two_sentences(rows_from_results(comparison()))
    assert text.endswith("None of these was trained, so how they learn is still open.")


def test_masks_that_all_collapse_are_said_to():
    assert "no mask of snip leaves a path" in said(result("snip", 0.99, 0))


def test_each_data_set_has_its_own_sentences():
    text = two_sentences(rows_from_results(study() + study(data="cifar10")))
    assert [line.split(":")[0] for line in text.splitlines()] == ["lenet5 on cifar10", "lenet5 on digits"]


def test_dense_runs_alone_are_said_to_be_alone():
    assert "Only the dense network" in said(result("dense", 0.0, 0))
