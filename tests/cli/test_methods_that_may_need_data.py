"""Whether npb needs data is up to its options: a score that chooses the cells of kernels may."""

from nodepath.masks import MaskSet
from nodepath.runs import RunSpec, execute

ASKED = ("prune", "lenet5", "--method", "npb", "--sparsity", 0.9, "-O", "cells=snip", "-o", "m.safetensors")


def test_prune_takes_the_score_batch_where_an_option_asks_for_one(nodepath, tmp_path):
    assert nodepath(*ASKED, "--data", "digits").code == 0
    protocol = MaskSet.load(tmp_path / "m.safetensors").metadata["protocol"]
    assert protocol["samples"] == 100  # 10 images a class


def test_prune_without_data_says_how_to_give_some(nodepath):
    outcome = nodepath(*ASKED)
    assert outcome.code == 2
    assert "--data" in outcome.complaint


def test_prune_with_data_that_nothing_needs_takes_no_batch(nodepath, tmp_path):
    plain = [word for word in ASKED if word not in ("-O", "cells=snip")]
    assert nodepath(*plain, "--data", "digits").code == 0
    assert MaskSet.load(tmp_path / "m.safetensors").metadata["protocol"]["samples"] is None


def test_a_run_takes_the_score_batch_as_well(tmp_path, few):
    spec = RunSpec(
        model="lenet5", data="digits", method="npb", sparsity=0.9, options={"cells": "snip"}, train={"epochs": 1}
    )
    execute(spec, tmp_path, dataset=few)
    (found,) = tmp_path.rglob("masks.safetensors")
    assert MaskSet.load(found).metadata["protocol"]["samples"] == 100
