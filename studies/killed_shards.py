"""Does a shared sweep that is killed again and again end in the files of one that never was?

python -m studies.killed_shards [--kills 20] [-n 96] [--steps 1] [--jobs 2] [--seed 0]

The run is started, and at a random moment a random part of it dies by SIGKILL: the process that was started, one of its
helpers, or all. Then it is started again, in turn by `--jobs` and as one shard of several, until so many kills have hit
or all shards are there. At the end all files are compared, bit for bit, with those of a sweep in one process; of the
record all but times and provenance.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from gcbench.runs.progress import say


def files_of(run: Path) -> dict[str, Any]:
    """Name -> content; the record without times and provenance."""
    found: dict[str, Any] = {
        str(path.relative_to(run)): path.read_bytes()
        for path in sorted(run.rglob("*"))
        if path.is_file() and path.name not in ("run.json", "record.json")
    }
    record = json.loads((run / "record.json").read_text(encoding="utf-8"))
    record["points"] = [{key: value for key, value in one.items() if key != "seconds"} for one in record["points"]]
    return {**found, "record.json": {key: value for key, value in record.items() if key != "provenance"}}


def children(process: int) -> list[int]:
    try:
        return [int(one) for one in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except OSError:
        return []


def finished(run: Path, n: int) -> int:
    """Shards that are there, those of a merged scale too."""
    record = run / "record.json"
    merged = len(json.loads(record.read_text(encoding="utf-8"))["points"]) if record.exists() else 0
    return len(list(run.glob("shards/*/*.safetensors"))) + merged * (n // 16 - 1)


def study(kills: int, n: int, steps: int, jobs: int, seed: int) -> dict[str, Any]:
    """Kills that hit, by what they hit; and which files differ at the end: none, if all is well."""
    chance, hit = random.Random(seed), {"all": 0, "the first": 0, "a helper": 0}
    with tempfile.TemporaryDirectory() as folder:
        line = [sys.executable, "-m", "gcbench", "sweep", "-n", str(n), "--steps", str(steps), "--guidance", "1,2"]
        line += ["--keep-samples", "--device", "cpu", "--out"]
        variables = {**os.environ, "OMP_NUM_THREADS": "1"}
        began = time.perf_counter()
        first = subprocess.Popen([*line, f"{folder}/whole"], env=variables, stdout=subprocess.DEVNULL)
        while first.poll() is None and not list(Path(folder, "whole").glob("shards/*/*.safetensors")):
            time.sleep(0.05)
        start = time.perf_counter() - began
        first.wait()
        seconds = time.perf_counter() - began
        starts, total = 0, 2 * n // 16
        while (number := sum(hit.values())) < kills and finished(Path(folder, "killed"), n) < total:
            starts += 1
            share = ["--jobs", str(jobs)] if starts % 2 else ["--shard", f"{chance.randint(1, 3)}/3"]
            started = subprocess.Popen(
                [*line, f"{folder}/killed", *share], env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            if chance.random() < 0.25:  # while it starts
                time.sleep(start * chance.random())
            else:  # some shards later, at whatever it is at then
                while started.poll() is None and finished(Path(folder, "killed"), n) < total * number / kills:
                    time.sleep(0.02)
                time.sleep(chance.random())
            helpers = children(started.pid)
            what = chance.choice(["all", "the first", "a helper"] if helpers else ["the first"])
            victims = {"all": [started.pid, *helpers], "the first": [started.pid], "a helper": helpers[:1]}[what]
            if started.poll() is None:  # one that has ended by itself is no kill
                hit[what] += 1
                for victim in victims:
                    os.kill(victim, signal.SIGKILL)
                say(f"kill {number + 1}: {what}; {finished(Path(folder, 'killed'), n)} shards of {total} are there")
            if what == "a helper":  # the first is to take its place, for a while
                time.sleep(1)
                started.kill()
            started.wait()
        time.sleep(1)  # what was left alone ends by itself
        done = subprocess.run([*line, f"{folder}/killed"], env=variables, capture_output=True, text=True)
        if done.returncode:
            return {"kills": hit, "starts": starts, "differ": [done.stderr.strip().splitlines()[-1]]}
        whole, killed = files_of(Path(folder, "whole")), files_of(Path(folder, "killed"))
        differ = [name for name in {**whole, **killed} if whole.get(name) != killed.get(name)]
    return {"kills": hit, "starts": starts, "seconds": round(seconds, 1), "files": len(whole), "differ": differ}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("--kills", 20), ("-n", 96), ("--steps", 1), ("--jobs", 2), ("--seed", 0)):
        parser.add_argument(name, type=int, default=default)
    print(json.dumps(study(**vars(parser.parse_args())), indent=1))
