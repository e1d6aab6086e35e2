"""The verdict follows from the numbers, and says what does not follow from them."""

from dataclasses import replace

import numpy as np
import pytest

from autoseg.comparison.evidence import Evidence
from autoseg.comparison.grouping import group_networks
from autoseg.comparison.verdict import verdict
from tests.comparison.rows import network


def evidence(hits, *, num_images=20, seed=0):
    """Images of two classes, 100 pixels each, of which `hits` are right, give or take 5."""
    right = np.clip(hits + np.random.default_rng(seed).integers(-5, 6, (num_images, 2)), 0, 100)
    wrong = 200 - right.sum(axis=1, keepdims=True)
    return Evidence(image_overlaps=np.stack([right, right + wrong], axis=1), shown=())


def scored(label, miou, cost, *, hits=None, **changes):
    changed = {"latency_median_ms": cost, "total_latency_median_ms": cost, "macs": int(1e6 * cost)}
    made = network(label=label, miou=miou, **{"network": label, **changed, **changes})
    return made if hits is None else replace(made, evidence=(evidence(hits),))


def sentences(*networks):
    (group,) = group_networks(networks)
    return verdict(group)


def test_budgets_are_the_front_in_words():
    told = sentences(
        scored("slow", 0.6, 50.0),
        scored("fast", 0.3, 5.0),
        scored("beaten", 0.29, 6.0),
        scored("middle", 0.5, 20.0),
    )
    assert told[0] == "Most accurate: slow, mIoU 60.00 % at 50.00 ms and 50.00 M MACs."
    assert "By latency: from 5.000 ms on fast (30.00 %); from 20.00 ms on middle (50.00 %); " in (
        " ".join(told)
    )
    (by_macs,) = [sentence for sentence in told if sentence.startswith("By MACs")]
    assert by_macs.endswith("from 50.00 M on slow (60.00 %).") and "beaten" not in by_macs


def test_the_crf_competes_in_time_but_not_in_macs():
    (by_latency, by_macs) = sentences(network(label="a", crf_miou=0.6))[2:4]
    assert by_latency == (
        "By latency: from 10.00 ms on a (50.00 %); from 61.00 ms on a + CRF (60.00 %)."
    )
    assert by_macs == "By MACs: from 2.000 G on a (50.00 %)."


def in_forms(name, *mious, **changes):
    """Return a network that torch ran in bfloat16, torch as it is, and OpenVINO."""
    forms = (
        ("bfloat16", {"dtype": "bfloat16"}),
        ("plain", {}),
        ("openvino", {"backend": "openvino", "memory_format": "own", "is_folded": True}),
    )
    return [
        scored(f"{name} ({label})", miou, cost, macs=10**9, network=name, **form, **changes)
        for cost, miou, (label, form) in zip((3.0, 2.0, 1.0), mious, forms, strict=True)
    ]


def test_forms_of_one_network_are_rows_in_time_and_one_network_in_all_else():
    several = {"miou_deviation": 0.01, "num_seeds": 2}
    told = sentences(
        *in_forms("searched", 0.6, 0.6, 0.59, **several),
        *in_forms("random-1", 0.5, 0.5, 0.5, training_sha256="b"),
        *in_forms("random-2", 0.61, 0.61, 0.61, training_sha256="c")[::2],
    )
    assert [each for each in told if each.startswith("By MACs")] == [
        "By MACs: from 1.000 G on random-2 (bfloat16) (61.00 %)."
    ]
    assert "By latency: from 1.000 ms on random-2 (openvino) (61.00 %)." in told
    assert (
        "searched (plain) (60.00 %) is above 1 of 2 drawn at random at its cost (mean 55.50 %, "
        "50.00 to 61.00 %)."
    ) in told
    assert told[-2].endswith("points and number: searched (plain) 60.00 %, 1.00 (2).")


def test_what_the_images_cannot_tell_apart_is_said():
    told = sentences(
        scored("best", 0.6, 50.0, hits=80),
        replace(scored("equal", 0.59, 20.0), evidence=(evidence(80, seed=1),)),
        scored("worse", 0.3, 5.0, hits=50),
    )
    assert told[1] == "Not distinguishable from it on these images: equal."
    assert told[2] == (
        "Its lead over the rest is more than the choice of images explains (95 % interval over 64 "
        "images drawn anew, taken as independent)."
    )
    assert "from 50.00 ms on best (60.00 %, which these images cannot tell from the one " in told[3]
    assert "from 20.00 ms on equal (59.00 %);" in told[3]  # itself a true gain over "worse"


def test_all_alike_and_all_behind_have_one_sentence():
    alike = sentences(scored("a", 0.6, 1.0, hits=80), scored("b", 0.6, 1.0, hits=80))
    assert alike[1].startswith("Not distinguishable from it on these images: b (95 % interval over")
    behind = sentences(scored("a", 0.6, 1.0, hits=80), scored("b", 0.3, 1.0, hits=50))
    assert behind[1].startswith("Its lead over the other row is more than the choice of images")


@pytest.mark.parametrize("num_images", [0, 9])
def test_too_few_images_tell_nothing(num_images):
    networks = [scored("a", 0.6, 1.0, num_images=9), scored("b", 0.3, 1.0, num_images=9)]
    if num_images:
        few = (evidence(50, num_images=num_images),)
        networks = [replace(each, evidence=few) for each in networks]
    assert sentences(*networks)[1] == (
        "Whether its lead is more than chance cannot be said: that takes at least 10 images that "
        "all networks were scored on, and there are 9."
    )


def test_a_doubtful_network_is_named_and_recommended_for_nothing():
    doubt = "doubtful: its mIoU 0.9 is no better than predicting road everywhere."
    told = sentences(scored("constant", 0.9, 1.0, notes=(doubt,)), scored("real", 0.5, 2.0))
    assert told[0].startswith("Most accurate: real,")
    assert f"constant: {doubt}" in told
    assert sum("constant" in sentence for sentence in told) == 1
    assert sentences(scored("constant", 0.9, 1.0, notes=(doubt,))) == [
        "No network here has a score that says anything.",
        f"constant: {doubt}",
    ]


def test_times_that_had_not_settled_rank_nothing():
    unsettled = scored("b", 0.6, 1.0, is_total_latency_settled=False)
    told = sentences(scored("a", 0.5, 2.0), unsettled)
    assert "By latency: from 2.000 ms on a (50.00 %)." in told
    assert told[4] == (
        "Not ranked by latency, for the times had not settled or the machine's speed changed: b."
    )


def seeds_of(label, mious, hits):
    """Trainings of one network that differ by their seed."""
    return [
        scored(label, miou, 10.0, hits=hit, seed=seed, training_sha256=label)
        for seed, (miou, hit) in enumerate(zip(mious, hits, strict=True))
    ]


def test_seeds_of_one_network_become_mean_and_deviation():
    told = sentences(*seeds_of("a", (0.3, 0.4, 0.5), (60,) * 3), scored("b", 0.3, 5.0))
    assert told[0].startswith("Most accurate: a, mIoU 40.00 % at 10.00 ms")
    assert told[-2:] == [
        "Over seeds, mean mIoU, standard deviation in points and number: a 40.00 %, 10.00 (3).",
        "A network that was trained with one seed alone may stand elsewhere with another.",
    ]
    alone = sentences(network(label="a", network="a"), network(label="b", network="b"))
    assert alone[-1] == (
        "Each network was trained with one seed; with another one it may stand elsewhere."
    )


def test_what_seeds_cannot_tell_apart_images_alone_would():
    # Ahead by 3 points on every image, and seeds that differ by 10.
    told = sentences(*seeds_of("a", (0.5, 0.6), (66, 76)), *seeds_of("b", (0.47, 0.57), (63, 73)))
    assert told[1] == (
        "Not distinguishable from it on these images and seeds: b (95 % interval over 64 images "
        "drawn anew, taken as independent, and over the seeds of the trainings)."
    )
    steady = sentences(*seeds_of("a", (0.6, 0.6), (76, 76)), *seeds_of("b", (0.5, 0.5), (60, 60)))
    assert steady[1].startswith("Its lead over the other row is more than the choice of images and")


def test_a_search_is_measured_by_what_nobody_searched():
    def about_searches(*networks):
        return [told for told in sentences(*networks) if "at random" in told]

    found = scored("searched", 0.44, 10.0)
    drawn = [scored(f"random-{i}", miou, 10.0) for i, miou in enumerate([0.38, 0.43, 0.42], 1)]
    assert about_searches(found, scored("unet", 0.5, 10.0)) == [
        "Whether the search helped, nothing here says: no architecture drawn at random was trained "
        "beside it (retrain --random 3)."
    ]
    assert about_searches(found, *drawn) == [
        "searched (44.00 %) is above 3 of 3 drawn at random at its cost (mean 41.00 %, 38.00 to "
        "43.00 %); one more drawn would be so in 1 of 4 comparisons."
    ]
    assert about_searches(scored("searched", 0.425, 10.0), *drawn) == [
        "searched (42.50 %) is above 2 of 3 drawn at random at its cost (mean 41.00 %, 38.00 to "
        "43.00 %)."
    ]
    assert about_searches(scored("unet", 0.5, 10.0)) == []
    last = [scored(f"random-{i} (last)", 0.1, 10.0, weights="last") for i in range(4)]
    assert about_searches(found, *drawn, *last) == about_searches(found, *drawn)


def test_nothing_scored_nothing_said():
    assert sentences(network(miou=None), network(label="b", miou=None)) == []


def test_of_many_rows_the_verdict_tells_how_many_and_the_ends():
    networks = [
        each
        for number in range(7)
        for each in seeds_of(
            f"n{number}", (0.4 - 0.01 * number, 0.4, 0.4 + 0.01 * number), (60,) * 3
        )
    ]
    unsettled = [
        replace(each, rows=tuple(replace(row, is_total_latency_settled=False) for row in each.rows))
        for each in networks
    ]
    told = sentences(*networks)
    assert told[-1] == (
        "Over seeds the mIoU has a standard deviation of 0.00 points (n0) to 6.00 points (n6); the "
        "table has that of each row, and the number of its seeds."
    )
    assert not any("Not ranked" in sentence for sentence in told)
    assert (
        "Not ranked by latency, for the times had not settled or the machine's speed changed: "
        "7 of 7 rows, which the table calls unsettled."
    ) in sentences(*unsettled)
