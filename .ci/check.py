#!/usr/bin/env python
"""Every check of the project, one line each; the last line is `N passed, N failed`.

    python .ci/check.py            # the notebooks' quick tests
    python .ci/check.py --slow     # the notebooks that have slow cells, those included, as CI runs them
    python .ci/check.py --cuda     # the notebooks that have cells for a GPU, those included
    python .ci/check.py --pretend  # the notebooks' quick tests on a pretended GPU (.ci/pretend)

A failing check says in one line what to do about it.
"""
import ast, filecmp, json, os, re, shutil, subprocess, sys, tempfile, time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NBS, LIB = ROOT / "nbs", ROOT / "eva_nbs"
# two notebooks are tested at a time, each with one thread: threads that fight over two cores wait for ever
ENV = dict(os.environ, NO_ALBUMENTATIONS_UPDATE="1", OMP_NUM_THREADS="1", PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
# Every directive that a notebook here may use: nbdev's, the test flags, Quarto's cell options.
DIRECTIVES = set("""default_exp export exporti exports hide hide_input hide_output hide_line filter_stream eval echo
    output code-fold code-summary fig-cap fig-alt label warning include notest slow cuda gpu""".split())


class Failure(Exception):
    "A check that failed; its text is the one line that says what to do."


def run(*command, cwd=ROOT, **env):
    "The finished process, with its output as text."
    return subprocess.run(command, cwd=cwd, env=ENV | env, capture_output=True, text=True)


def notebooks():
    "The notebooks of the book, in order."
    return sorted(p for p in NBS.glob("*.ipynb") if not p.name.startswith((".", "_")))


def cells(path):
    "The cells of a notebook as (type, source)."
    return [(c["cell_type"], "".join(c["source"])) for c in json.loads(path.read_text())["cells"]]


def modules():
    "The exporting notebooks' module names, in the book's order, which is the order of imports."
    found = [re.search(r"^#\| default_exp (\w+)", s, re.M) for p in notebooks() for t, s in cells(p) if t == "code"]
    return [m[1] for m in found if m]


def copy_of_project(folder):
    "A copy of what git would see, to try changes on."
    names = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").stdout.split("\0")
    for name in filter(None, names):
        source, target = ROOT / name, Path(folder) / name
        if not os.path.lexists(source): continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target, follow_symlinks=False)


def differing(folder, paths):
    "Those of `paths` (relative) that are missing on one side or differ between the project and `folder`."
    there = lambda p: (ROOT / p).exists() and (folder / p).exists()
    return [str(p) for p in sorted(paths) if not (there(p) and filecmp.cmp(ROOT / p, folder / p, shallow=False))]


def after(command, pattern, prepare=lambda folder: None):
    "Which files of `pattern` change when nbdev's `command` runs on a copy of the project."
    with tempfile.TemporaryDirectory() as d:
        folder = Path(d)
        copy_of_project(folder)
        prepare(folder)
        done = run(command, cwd=folder, PYTHONPATH=str(folder))
        if done.returncode: raise Failure(f"{command} fails: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
        relative = lambda base: {p.relative_to(base) for p in base.glob(pattern) if ".ipynb_checkpoints" not in p.parts}
        return differing(folder, relative(ROOT) | relative(folder))


def check_clean():
    "notebooks are clean"
    if bad := after("nbdev_clean", "nbs/*.ipynb"): raise Failure(f"run nbdev_clean and commit: {', '.join(bad)}")


def check_exported():
    "modules are exported, none left over, none edited by hand"
    empty = lambda folder: [p.unlink() for p in (folder / "eva_nbs").glob("*.py") if p.name != "__init__.py"]
    if bad := after("nbdev_export", "eva_nbs/*.py", empty):
        raise Failure(f"change the notebook, then run nbdev_export (delete modules no notebook exports): {', '.join(bad)}")


def check_names():
    "no undefined or unused name in the modules"
    # F811: @patch gives several classes a method of the same name
    done = run("ruff", "check", "--select", "F", "--ignore", "F811", "--output-format", "concise", "eva_nbs")
    if done.returncode: raise Failure(f"define or import it in an exported cell: {done.stdout.splitlines()[0]}")


def check_width():
    "no exported line is longer than 100 characters"
    long = []
    for path in LIB.glob("[a-z]*.py"):
        for cell in re.split(r"^# %% ../nbs/", path.read_text(), flags=re.M)[1:]:
            long += [f"{path.stem}: {line.strip()[:30]}…" for line in cell.splitlines()[1:] if len(line) > 100]
    if long: raise Failure(f"break these lines in the notebook: {', '.join(long[:8])}")


def check_docments():
    "every public parameter and field is documented on its own line, and has its type"
    bad, untyped = [], []
    for path in LIB.glob("[a-z]*.py"):
        lines = path.read_text().splitlines()
        tree = ast.parse("\n".join(lines))
        classes = [n for n in tree.body if isinstance(n, ast.ClassDef) and not n.name.startswith("_")]
        for owner in [tree, *classes]:
            for f in owner.body:
                if isinstance(f, ast.AnnAssign) and owner is not tree: named, typed = [(f.target.id, f.lineno)], True
                elif isinstance(f, ast.FunctionDef) and (not f.name.startswith("_") or f.name == "__init__"):
                    given = f.args.posonlyargs + f.args.args + f.args.kwonlyargs
                    named = [(a.arg, a.lineno) for a in given]
                    typed = all(a.annotation for a in given if a.arg not in ("self", "cls")) and (f.returns or f.name == "__init__")
                else: continue
                where = ".".join(filter(None, [path.stem, getattr(owner, "name", ""), getattr(f, "name", "")]))
                bad += [f"{where}({n})" for n, line in named if n not in ("self", "cls") and "#" not in lines[line - 1]]
                if not typed: untyped.append(where)
    if untyped: raise Failure(f"write a type behind each parameter, and of what comes back: {', '.join(untyped[:12])}")
    if bad: raise Failure(f"write a comment behind each: {', '.join(bad[:12])} ({len(bad)} in all)")


def check_results():
    "the kept results are those of the recipes as they are, and README.md shows them"
    if not list(ROOT.glob("results/*.json")): return
    program = "from eva_nbs.results import markdown_table, sources_table; print(markdown_table(sources_table('results')))"
    done = run(sys.executable, "-c", program)
    if done.returncode: raise Failure(done.stderr.strip().splitlines()[-1])
    if done.stdout.strip() not in (ROOT / "README.md").read_text():
        raise Failure("execute nbs/index.ipynb, then `make readme`, and commit both")


def check_upward():
    "a module imports only modules of earlier notebooks"
    order = modules()
    for i, name in enumerate(order):
        for node in ast.walk(ast.parse((LIB / f"{name}.py").read_text())):
            if isinstance(node, ast.Import): full = [a.name for a in node.names]
            elif isinstance(node, ast.ImportFrom):
                package = ".".join(filter(None, ["eva_nbs" if node.level else "", node.module]))
                full = [f"{package}.{a.name}" for a in node.names] if package == "eva_nbs" else [package]
            else: continue
            for target in [f.split(".")[1] for f in full if f.startswith("eva_nbs.")]:
                if target not in order[:i]:
                    raise Failure(f"eva_nbs.{name} imports {target}, which does not stand above it: move the code up")


def check_imports():
    "each module imports by itself, in a process of its own, without the network"
    program = """
import socket
def no(*a, **k): raise SystemExit("it touches the network")
socket.socket.connect = socket.getaddrinfo = socket.create_connection = no
import importlib, os, sys
import matplotlib.pyplot, pandas, torch, torchvision  # once for all: most of the time goes there
for name in sys.argv[1:]:
    if not (child := os.fork()): importlib.import_module(name), os._exit(0)
    if os.waitpid(child, 0)[1]: sys.exit(name)
"""
    done = run(sys.executable, "-c", program, *(f"eva_nbs.{name}" for name in modules()), cwd=tempfile.gettempdir())
    if done.returncode: raise Failure(f"export the import or remove the call: {'; '.join(done.stderr.strip().splitlines()[-2:])}")


def check_form():
    "each notebook has a title, a summary and valid directives"
    for path in notebooks():
        kind, first = cells(path)[0]
        if kind != "markdown" or not re.fullmatch(r"# .+\n\n> .+\n?", first):
            raise Failure(f"{path.name}: the first cell is '# Title', an empty line, '> summary' and no more: nbdev drops the rest")
        outputs = [o for c in json.loads(path.read_text())["cells"] for o in c.get("outputs", [])]
        if any(o["output_type"] == "error" for o in outputs): raise Failure(f"{path.name} keeps an error: run it again")
        for kind, source in cells(path):
            for line in re.findall(r"^#\|\s*([\w-]+)", source if kind == "code" else "", re.M):
                if line not in DIRECTIVES: raise Failure(f"{path.name}: unknown directive '#| {line}'; mend its spelling")


def check_processing():
    "each notebook goes through nbdev's processing for the docs"
    code = ("import sys; from pathlib import Path; from nbdev.processors import FilterDefaults; "
            "from nbdev.serve_drv import main\n"
            "for p in map(Path, sys.argv[2:]): main((p, Path(sys.argv[1]) / p.name, FilterDefaults))")
    with tempfile.TemporaryDirectory() as d:
        done = run(sys.executable, "-c", code, d, *map(str, notebooks()))
    if done.returncode: raise Failure(f"mend the notebook: {done.stderr.strip().splitlines()[-1]}")


def check_site():
    "the site's files are in step with settings.ini and the notebooks"
    if not (NBS / "_quarto.yml").is_symlink(): raise Failure("make nbs/_quarto.yml a symlink to ../_quarto.yml")
    with tempfile.TemporaryDirectory() as d:
        folder = Path(d)
        copy_of_project(folder)
        code = "from nbdev.quarto import *; refresh_quarto_yml(); nbdev_sidebar.__wrapped__()"
        done = run(sys.executable, "-c", code, cwd=folder)
        bad = differing(folder, [Path("nbs/nbdev.yml"), Path("nbs/sidebar.yml")])
    if done.returncode or bad: raise Failure(f"run `make sidebar` and commit: {', '.join(bad) or done.stderr[-200:]}")


def check_readme():
    "README.md is in step with nbs/index.ipynb"
    done = run(sys.executable, ".ci/readme.py", "--check")
    if done.returncode: raise Failure("run `make readme` and commit README.md")


def check_content():
    "nothing is committed that never belongs in the repository"
    names = [n for n in run("git", "ls-files", "-z").stdout.split("\0") if n and (ROOT / n).exists()]
    large = [n for n in names if (ROOT / n).stat().st_size > 2 << 20]
    wrong = [n for n in names if n.endswith((".ckpt", ".safetensors", ".npz", ".tar.xz")) or "/.ipynb_checkpoints/" in n]
    if large or wrong: raise Failure(f"git rm --cached {' '.join(large + wrong)}")


def test_notebook(path, flag):
    "A test of one notebook's cells, those with the `flag` included, as nbdev_test runs them."
    def test():
        start = time.time()
        done = run("nbdev_test", "--path", str(path), *(["--flags", flag] if flag else []))
        if done.returncode:
            print((done.stdout + done.stderr)[-6000:], file=sys.stderr)
            raise Failure(f"run the notebook, mend the cell shown above (after {time.time() - start:.0f} s)")
    test.__doc__ = f"{flag} tests of {path.name}".lstrip()
    return test


def outcome(check):
    "Run one check; print and return whether it passed."
    start = time.time()
    try: check()
    except Exception as e:
        kind = "" if isinstance(e, Failure) else f"{type(e).__name__}: "
        print(f"FAIL  {check.__doc__}: {kind}{e}", flush=True)
        return False
    print(f"ok    {check.__doc__}  ({time.time() - start:.0f} s)", flush=True)
    return True


@contextmanager
def pretended_gpu():
    "Inside, what is run finds a GPU; its tensors compute on the CPU. Needs PyTorch's CUDA build and a C compiler."
    here = ROOT / ".ci/pretend"
    fits = run(sys.executable, "-c", "import torch, sys; sys.exit(not torch.version.cuda or torch.cuda.is_available())")
    if fits.returncode: sys.exit("pretend: it takes PyTorch's CUDA build on a machine without a GPU; on a GPU run make test and make cuda")
    if not shutil.which("cc"): sys.exit("pretend: it takes a C compiler; install gcc or clang")
    with tempfile.TemporaryDirectory() as d:
        for name in ("cudart.so", "libcuda.so.1"):
            done = run("cc", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", f"{d}/{name}", str(here / "cuda.c"))
            if done.returncode: sys.exit(f"pretend: cc fails: {done.stderr}")
        ENV.update(PRETEND_GPU="1", PYTHONPATH=str(here), LD_PRELOAD=f"{d}/cudart.so", LD_LIBRARY_PATH=f"{d}:{os.environ.get('LD_LIBRARY_PATH', '')}")
        yield


def main():
    flag = next((word[2:] for word in sys.argv[1:] if word in ("--slow", "--cuda")), "")
    marked = [p for p in notebooks() if not flag or any(re.search(rf"^#\|\s*{flag}\b", s, re.M) for _, s in cells(p))]
    pretend = "--pretend" in sys.argv
    compiler = any(map(shutil.which, (os.environ.get("CXX", ""), "g++", "clang++")))
    if pretend or not compiler:
        print("skipped: 06b_winograd.ipynb,", "which leaves to PyTorch what is watched" if pretend else "which needs a C++ compiler")
        marked = [p for p in marked if p.name != "06b_winograd.ipynb"]
    checks = [] if flag else [c for n, c in globals().items() if n.startswith("check_")]
    with pretended_gpu() if pretend else nullcontext(), ThreadPoolExecutor(2) as pool:
        results = list(pool.map(outcome, ([] if pretend else checks) + [test_notebook(p, flag) for p in marked]))
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    sys.exit(not all(results))


if __name__ == "__main__": main()
