#!/usr/bin/env python
"""The book at full length: every training, its results kept in a folder, its notebooks executed.

    python .ci/full.py --data cifar10 --results results-cifar10   # days on two CPU cores
    python .ci/full.py --data DIR --jobs 5 --seeds 3              # five at a time on a large GPU, three seeds each
    python .ci/full.py --short --recipes quick                    # tries the way itself, on drawn shapes

The folder results holds results on a copy of CIFAR-10; those on other data need another folder.

A finished run is taken as it is and an interrupted one goes on where it stopped: start this again
after whatever ended it. What each run prints goes to RUNS/<recipe>-<seed>.log.
"""
import argparse, os, subprocess, sys, tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from eva_nbs.core import EvaError, refuse
from eva_nbs.data import load_data
from eva_nbs.experiments import RECIPE_SETS, get_run
from eva_nbs.results import keep_results, read_results

ROOT = Path(__file__).resolve().parent.parent
STORIES = ("20_assignment10", "21_assignment11", "22_norms", "23_session9", "24_sources")
REMARKS = """Read again what was written about the outputs of other trainings:
  20_assignment10  "The outputs that you see", "In the run shown the plateau stepped in once"
  21_assignment11  "The outputs that you see", "The source reports 91.58 %"
  22_norms         "The outputs that you see", "A net like this, so early", "Three things to look for"
  23_session9      "The outputs that you see", "Why not only up to where the fall ends?"
  24_sources       "It was no overfitting", "Before comparing two columns", "Where the last epoch is the best",
                   "The full-length net of seed 0"
  index            "so far with the outputs of shorter trainings", "they end like this" (and `make readme` after it)"""


def options():
    "What the command line says."
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", default="cifar10", help="cifar10, or a folder of images")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs", help="where the runs are, or will be")
    parser.add_argument("--results", type=Path, default=ROOT / "results", help="where results are kept, of one data set")
    parser.add_argument("--seeds", type=int, default=1, help="seeds of each of the five recipes")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time")
    parser.add_argument("--recipes", nargs="*", help="only these (default: the assignments and the norms)")
    parser.add_argument("--notebooks", nargs="*", default=STORIES, help="only these; none: leave them alone")
    parser.add_argument("--out", type=Path, default=ROOT / "nbs", help="where the executed notebooks go")
    parser.add_argument("--short", action="store_true", help="the short versions, on shapes; nothing is kept")
    return parser.parse_args()


def check_kept(o):
    "Refuse, before days of training, a folder with results on other data."
    name = load_data(o.data).name
    kept = {r.data for results in read_results(o.results).values() for r in results} if o.results.is_dir() else set()
    if kept - {name}:
        raise refuse(f"results in {o.results}", ", ".join(sorted(kept)), f"those on {name}, which is to be trained on",
                     "Name another folder by --results, or delete the files.")


def train(o, recipe, seed):
    "One run in a process of its own; its result is kept if it is of full length."
    wanted = dict(recipe=recipe, full=not o.short, data="shapes" if o.short else o.data, seed=seed, out=str(o.runs))
    program = f"from eva_nbs.experiments import get_run; get_run(**{wanted!r})"
    with open(o.runs / f"{recipe}-{seed}.log", "a") as log:
        done = subprocess.run([sys.executable, "-c", program], stdout=log, stderr=subprocess.STDOUT)
    if done.returncode: return print(f"FAIL  {recipe}, seed {seed}: see {log.name}", flush=True)
    run = get_run(**wanted)
    print(f"ok    {recipe}, seed {seed}: {run.metrics['test_accuracy']:.2%}, {run.folder}", flush=True)
    return run


def execute(o, name):
    "One notebook from top to bottom, with the runs and the results as they are."
    notebook = nbformat.read(ROOT / f"nbs/{name}.ipynb", 4)
    with tempfile.TemporaryDirectory() as place:  # where a notebook finds "results" first
        (Path(place) / "results").symlink_to(o.results)
        NotebookClient(notebook, timeout=None, coalesce_streams=True, resources=dict(metadata=dict(path=place))).execute()
    o.out.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, o.out / f"{name}.ipynb")
    print(f"ok    {name}: run nbdev_clean before you commit it", flush=True)


def main():
    o = options()
    if Path(o.data).is_dir(): o.data = str(Path(o.data).resolve())
    o.runs, o.results = o.runs.resolve(), o.results.resolve()
    if not o.short: check_kept(o)
    o.runs.mkdir(parents=True, exist_ok=True)
    wanted = [(r, seed) for r in o.recipes or RECIPE_SETS["assignments"] for seed in range(o.seeds)]
    if not o.recipes: wanted += [(r, 0) for r in RECIPE_SETS["norms"]]
    runs = []
    with ThreadPoolExecutor(o.jobs) as pool:
        for run in pool.map(lambda w: train(o, *w), wanted):
            if run and not o.short: keep_results(run, folder=o.results)
            runs.append(run)
    os.environ |= dict(EVA_RUNS=str(o.runs), TQDM_DISABLE="1") | ({} if o.short else dict(EVA_FULL="1", EVA_DATA=o.data))
    session9 = [run for run in runs if run and run.recipe.name == "session9"]
    if session9 and not o.short: os.environ["EVA_RUN"] = str(session9[0].folder)
    for name in {"EVA_RUN", "EVA_BENCH_CACHE"} & set(os.environ):  # the notebooks run in another folder
        os.environ[name] = str(Path(os.environ[name]).resolve())
    for name in o.notebooks: execute(o, name)
    if o.notebooks and not o.short: print(REMARKS)
    sys.exit(None in runs)


if __name__ == "__main__":
    try: main()
    except EvaError as error: sys.exit(f"full.py: {error}")
