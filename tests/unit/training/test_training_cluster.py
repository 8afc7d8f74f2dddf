"""Which workers there are: what is read, and what is refused."""

from __future__ import annotations

import json

import pytest

from training import flags
from training.distributed import cluster
from training.distributed.cluster import Task
from training.errors import ClusterError

TWO = ["10.0.0.1:2222", "[::1]:2223"]


def environment(jobs: object = None, task: object = None) -> dict[str, str]:
    config = {
        "cluster": {"worker": TWO} if jobs is None else jobs,
        "task": {"type": "worker", "index": 0} if task is None else task,
    }
    return {"TF_CONFIG": json.dumps(config)}


def test_workers_of_the_environment():
    found = cluster.of_environment(environment(task={"type": "worker", "index": 1}))

    assert found is not None
    assert found.tasks == (Task("worker", 0, TWO[0]), Task("worker", 1, TWO[1]))
    assert (found.chief, found.me) == (found.tasks[0], found.tasks[1])


def test_who_is_named_chief_comes_first():
    jobs = {"worker": ["a:1", "b:2"], "chief": ["c:3"]}
    found = cluster.of_environment(environment(jobs, {"type": "worker", "index": 0}))

    assert found is not None
    assert [str(it) for it in found.tasks] == ["chief 0 (c:3)", "worker 0 (a:1)", "worker 1 (b:2)"]
    assert found.index == 1


def test_flags_make_what_the_environment_would_say():
    found = cluster.of_flags("10.0.0.1:2222, [::1]:2223", 1)

    assert found == cluster.of_environment(environment(task={"type": "worker", "index": 1}))
    assert found == cluster.of_environment({"TF_CONFIG": found.config})


@pytest.mark.parametrize(
    "found",
    [
        {},
        {"TF_CONFIG": ""},
        {"TF_CONFIG": "{}"},
        {"TF_CONFIG": '{"task": {"type": "worker", "index": 0}}'},
        environment({"chief": ["a:1"]}, {"type": "chief", "index": 0}),
    ],
)
def test_one_process_is_no_cluster(found):
    assert cluster.of_environment(found) is None


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ("{", "TF_CONFIG is not JSON: Expecting property name"),
        ("[1]", "TF_CONFIG is '[1]', not an object"),
        (environment(["a:1"]), "TF_CONFIG: cluster is ['a:1'], not an object"),
        (environment(task=3), "TF_CONFIG: task is 3, not an object"),
        (environment({"ps": ["a:1"]}), "TF_CONFIG: cluster has 'ps', not one of chief, worker"),
        (environment({"worker": "a:1"}), "TF_CONFIG: cluster: worker is 'a:1', not a list of"),
        (environment({"worker": []}), "TF_CONFIG: cluster: worker is [], not a list of HOST:PORT"),
        (environment({"worker": ["a"]}), "TF_CONFIG: cluster has 'a', not HOST:PORT"),
        (environment({"worker": [7]}), "TF_CONFIG: cluster has 7, not HOST:PORT"),
        (
            environment({"worker": ["a:70000"]}),
            "TF_CONFIG: cluster has port 70000 in a:70000, outside [1, 65535]",
        ),
        (environment({"worker": ["a:1", "a:1"]}), "TF_CONFIG: cluster has a:1 2 times, once each"),
        (
            environment({"chief": ["a:1", "b:1"]}, {"type": "chief", "index": 0}),
            "TF_CONFIG: cluster has 2 chiefs, at most 1",
        ),
        (
            environment(task={"type": "evaluator", "index": 0}),
            "TF_CONFIG: task.type is 'evaluator', not one of worker",
        ),
        (
            environment(task={"type": "worker", "index": 2}),
            "TF_CONFIG: task.index is 2, outside [0, 1]",
        ),
        (
            environment(task={"type": "worker", "index": "0"}),
            "TF_CONFIG: task.index is '0', not a whole number",
        ),
        (environment(task={"type": "worker"}), "TF_CONFIG: task.index is None, not a whole"),
    ],
)
def test_wrong_environment_is_refused_with_place_value_and_limit(config, problem, capsys):
    variables = config if isinstance(config, dict) else {"TF_CONFIG": config}

    with pytest.raises(ClusterError) as refused:
        cluster.of_environment(variables)
    assert problem in str(refused.value)
    with pytest.raises(SystemExit) as ended:
        flags.parse(["--data", "h.csv", "--target", "p"], variables)
    assert ended.value.code == 2
    assert problem in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--workers", "a:1,b:2"], "--worker_index is missing"),
        (["--worker_index", "0"], "--worker_index goes with --workers"),
        (["--workers", "a:1,b", "--worker_index", "0"], "--workers has 'b', not HOST:PORT"),
        (["--workers", "a:1,b:2", "--worker_index", "2"], "--worker_index is 2, outside [0, 1]"),
    ],
)
def test_wrong_flags_are_refused(arguments, problem, capsys):
    with pytest.raises(SystemExit) as ended:
        flags.parse(["--data", "h.csv", "--target", "p", *arguments], {})

    assert ended.value.code == 2
    assert problem in capsys.readouterr().err


def test_workers_need_a_table_of_ones_own(capsys):
    with pytest.raises(SystemExit):
        flags.parse(["--workers", "a:1,b:2", "--worker_index", "0"], {})

    assert "2 workers train a table of your own: --target is missing" in capsys.readouterr().err


def test_flags_count_more_than_the_environment():
    order = flags.parse(
        ["--data", "h.csv", "--target", "p", "--workers", "a:1,b:2", "--worker_index", "1"],
        environment(),
    )

    assert order.cluster == cluster.of_flags("a:1,b:2", 1)
    assert flags.parse([], {}).cluster is None


def test_worker_says_so_if_the_chief_ends_without_a_version():
    from training.distributed import team
    from training.errors import WorkerLostError

    class Lost:
        """A ring whose chief is gone."""

        index, size = 1, 2

        def sum(self, _numbers):
            raise WorkerLostError("worker 0 (a:1) is lost")

    order = flags.parse(
        ["--data", "h.csv", "--target", "p", "--workers", "a:1,b:2", "--worker_index", "1"], {}
    )

    with pytest.raises(ClusterError, match=r"worker 0 \(a:1\), the chief, ended without a version"):
        team._outcome(order, Lost())
