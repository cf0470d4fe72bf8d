#!/usr/bin/env python
"""The widgets in a real browser: one line, exit code 0 or 1.

Starts JupyterLab on this machine, opens a copy of the widgets notebook in headless Chromium, runs
all its cells but the tests (`make test` runs those), moves a slider, clicks a picture, stops a training by its button, and looks whether
what is on the page has changed. Without Chromium it says so and passes.

    python .ci/browser.py [--keep FOLDER]     # --keep: leave screenshots there
"""
import contextlib, json, os, re, shutil, socket, subprocess, sys, tempfile, time, urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "nbs" / "09_widgets.ipynb"
LIMIT = float(os.environ.get("EVA_BROWSER_SECONDS", 600))  # for all; a quiet machine needs about one minute
FLAGS = """--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-dev-shm-usage
    --disable-background-networking --disable-component-update --disable-sync --window-size=1300,1000""".split()
SETTINGS = {"notebook-extension/tracker": {"windowingMode": "none"},
            "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False}}
# a training far too long to wait for: only the button ends it
TRAINING = """endless = small_learner(training_dashboard(every=0.1, folder="saved"), epochs=10_000)
endless.fit(10_000)
print("ended by", endless.stopping, Path("saved/last.ckpt").exists())"""


class Failure(Exception):
    "What did not work; its text is one line."


def prepare(folder):
    "A copy of the notebook without outputs, with one more cell, and JupyterLab's settings."
    book = json.loads(NOTEBOOK.read_text())
    blank = dict(cell_type="code", metadata={}, outputs=[], execution_count=None)
    skip = re.compile(r"^#\| *(slow|notest)\b|^\s*(test_\w+|move)\(|^\s*assert ", re.M)
    book["cells"] = [{**c, "outputs": []} for c in book["cells"] if c["cell_type"] == "code" and not skip.search("".join(c["source"]))]
    book["cells"].append({**blank, "id": "endless", "source": TRAINING})
    (folder / "work").mkdir()
    (folder / "work" / "widgets.ipynb").write_text(json.dumps(book))
    for name, values in SETTINGS.items():
        path = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))


def free_port():
    "A port that nobody listens on."
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def jupyterlab(folder):
    "A JupyterLab of this Python on loopback, with nobody else's settings; yields its address."
    port, private = free_port(), {f"JUPYTER_{k}_DIR": str(folder / k.lower()) for k in ("CONFIG", "DATA", "RUNTIME")}
    env = os.environ | private | dict(
        JUPYTERLAB_SETTINGS_DIR=str(folder / "settings"), JUPYTERLAB_WORKSPACES_DIR=str(folder / "workspaces"),
        NO_ALBUMENTATIONS_UPDATE="1", PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    options = ["--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}",
               "--ServerApp.port_retries=0", "--IdentityProvider.token=", f"--ServerApp.root_dir={folder / 'work'}",
               "--LabApp.expose_app_in_browser=True", "--ServerApp.log_level=ERROR"]
    with open(folder / "server.log", "w") as log:
        server = subprocess.Popen([sys.executable, "-m", "jupyterlab", *options], env=env, stdout=log, stderr=log)
    try:
        address, end = f"http://127.0.0.1:{port}", time.monotonic() + 120
        while True:
            if server.poll() is not None or time.monotonic() > end:
                lines = (folder / "server.log").read_text().strip().splitlines()
                raise Failure(f"JupyterLab does not start: {(lines or ['no message'])[-1]}")
            try:
                urllib.request.urlopen(f"{address}/api", timeout=5).close()
                break
            except OSError: time.sleep(0.3)
        yield address
    finally:
        server.terminate()
        try: server.wait(15)
        except subprocess.TimeoutExpired: server.kill()


class Page:
    "The notebook in the browser."

    def __init__(self, driver, end): self.driver, self.end = driver, end

    def js(self, code, *args): return self.driver.execute_script(code, *args)

    def until(self, what, condition, pause=0.1):
        "Wait until `condition()` is true."
        while not (found := condition()):
            if time.monotonic() > self.end: raise Failure(f"waited too long for {what}")
            time.sleep(pause)
        return found

    def open(self, address):
        self.driver.get(f"{address}/lab/tree/widgets.ipynb")
        self.until("the notebook to open", lambda: self.js(
            "const app = window.jupyterapp; window.panel = app?.shell && [...app.shell.widgets('main')].find(w => w.context);"
            "return !!window.panel?.content?.widgets?.length && panel.sessionContext?.session?.kernel?.status === 'idle'"))
        self.js("jupyterapp.shell.collapseLeft(); jupyterapp.shell.activateById(panel.id)")
        self.find(".jp-Notebook .jp-Cell").click()
        self.until("the notebook to be the current one", lambda: self.js("return jupyterapp.shell.currentWidget === panel"))

    def run(self, first, last):
        "Run the cells `first` to `last` (not included), without waiting."
        self.js("""const cells = panel.content.widgets.slice(arguments[0], arguments[1]);
            panel.content.deselectAll(); panel.content.activeCellIndex = arguments[0];
            for (const c of cells.slice(1)) panel.content.select(c);
            jupyterapp.commands.execute('notebook:run-cell')""", first, last)

    def source(self, cell):
        "How a cell begins."
        return self.js("return panel.content.widgets[arguments[0]].model.sharedModel.getSource()", cell)[:60].replace("\n", " ")

    def outputs(self, kind):
        "What lies in the outputs of a kind (error: one line each; stream: the text)."
        return self.js("""return panel.content.model.toJSON().cells.flatMap(c => c.outputs || [])
            .filter(o => o.output_type === arguments[0])
            .map(o => o.ename ? o.ename + ': ' + o.evalue : [].concat(o.text).join(''))""", kind)

    def finished(self, cell):
        "Whether a cell has run to its end; an error anywhere fails."
        if errors := self.outputs("error"): raise Failure(f"a cell raises {errors[0].splitlines()[0][:200]}")
        return self.js("const m = panel.content.widgets[arguments[0]].model; return m.executionState === 'idle' && m.executionCount !== null", cell)

    def find(self, selector, inside=None):
        "The first element, scrolled into view."
        found = self.until(selector, lambda: self.js("return (arguments[1] || document).querySelector(arguments[0])", selector, inside))
        self.js("arguments[0].scrollIntoView({block: 'center'})", found)
        return found

    def explorer(self, label):
        "The widget that has a control of this label, and that control."
        return self.until(f"a control {label}", lambda: self.js("""for (const l of document.querySelectorAll('.jp-OutputArea .widget-label'))
            if (l.textContent === arguments[0] && l.offsetParent) {
                const control = l.parentElement; control.scrollIntoView({block: 'center'});
                return [control.closest('.widget-vbox').parentElement, control] }""", label))

    def changes(self, what, box, act):
        "Do something; the picture in `box` must become another one. Seconds that it took."
        pixels = lambda: self.js("const i = arguments[0].querySelector('img.widget-image'); return i.complete && i.naturalWidth ? i.src : ''", box)
        before, start = self.until("a picture", pixels), time.monotonic()
        shot = self.find("img.widget-image", box).screenshot_as_png
        act()
        self.until(f"the picture to change after {what}", lambda: pixels() not in ("", before), 0.02)
        took = time.monotonic() - start
        self.until(f"other pixels after {what}", lambda: self.find("img.widget-image", box).screenshot_as_png != shot)
        return took


def check(page, keep):
    "All that is done in the browser; what to say about it."
    from selenium.webdriver.common.keys import Keys
    def shot(name):
        if keep: page.driver.save_screenshot(str(keep / f"{name}.png"))
    last = page.js("return panel.content.widgets.length") - 1
    page.run(0, last)
    code = page.js("return panel.content.widgets.map((c, i) => c.model.type === 'code' ? i : -1).filter(i => i >= 0 && i < arguments[0])", last)
    for k in code: page.until(f"cell {k}: {page.source(k)}", lambda: page.finished(k), 0.2)
    for name in ("seed", "rates", "peak epoch", "predicted"):
        page.explorer(name)
        shot(name.replace(" ", "_"))
    box, slider = page.explorer("opacity")
    handle = page.find(".noUi-handle", slider)
    page.changes("moving the slider", box, lambda: handle.send_keys(Keys.ARROW_RIGHT * 3))
    shot("slider")
    box, _ = page.explorer("predicted")
    page.changes("clicking a picture", box, lambda: page.js("[...arguments[0].querySelectorAll('button')][3].click()", box))
    shot("tile")
    page.run(last, last + 1)
    page.until("a running training", lambda: page.js(
        "return !![...document.querySelectorAll('button.mod-danger')].find(b => b.offsetParent && !b.disabled)"))
    button = page.js("const b = [...document.querySelectorAll('button.mod-danger')].find(b => b.offsetParent && !b.disabled);"
                     "b.scrollIntoView({block: 'center'}); return b")
    time.sleep(1.5)
    shot("training")
    button.click()
    page.until("the training to stop", lambda: page.finished(last))
    shot("stopped")
    if "ended by the stop button True" not in "".join(page.outputs("stream")): raise Failure("the stop button saved nothing")
    return f"{len(code) + 1} cells run, a slider moved, a picture clicked, a training stopped by its button"


def main():
    keep = Path(sys.argv[2]) if sys.argv[1:2] == ["--keep"] else None
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver_path = shutil.which("chromedriver")
    if not (chromium and driver_path):
        print("browser: skipped, there is no chromium with chromedriver here (Debian: apt-get install chromium chromium-driver)")
        return 0
    try:
        from selenium import webdriver
    except ImportError:
        print("browser: FAILED: selenium is missing; pip install -e '.[dev]'")
        return 1
    start = time.monotonic()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as d:
        folder = Path(d)
        try:
            prepare(folder)
            options = webdriver.ChromeOptions()
            options.binary_location = chromium
            for flag in [*FLAGS, f"--user-data-dir={folder / 'profile'}"]: options.add_argument(flag)
            with jupyterlab(folder) as address, contextlib.closing(Quitting(webdriver, options, driver_path)) as q:
                page = Page(q.driver, start + LIMIT)
                try:
                    page.open(address)
                    said = check(page, keep)
                except Failure:
                    if keep: q.driver.save_screenshot(str(keep / "failed.png"))
                    raise
            print(f"browser: passed: {said} ({time.monotonic() - start:.0f} s)")
            return 0
        except Exception as error:
            print(f"browser: FAILED: {str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__}")
            return 1


class Quitting:
    "A driver that `close` ends with its browser."

    def __init__(self, webdriver, options, path):
        self.driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(path))
        self.driver.set_script_timeout(60)

    def close(self): self.driver.quit()


if __name__ == "__main__": sys.exit(main())
