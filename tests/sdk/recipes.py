"""Recipes of docs/clients.md, executed exactly as printed: each marked block is a program or a shell script, which sees the address and a
virtual key in two variables and must print the model's answer. A recipe whose client is not installed is skipped.
Usage: recipes.py BINARY PAGE FOLDER-OF-NODE-MODULES FOLDER-OF-AGENTS
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import agents

SECTION = re.compile(r"^### (.+)$", re.M)
BLOCK = re.compile(r"<!-- recipe: (\w+) -->\n```\w+\n(.*?)^```", re.S | re.M)
MODELS = {"anthropic": "claude-sonnet-5-5", "openai": "gpt-5.1"}
SECONDS = 120
RECIPES = 10


def recipes_of(page):
    """(name, kind, code) of each marked block; its name is the heading above it."""
    sections = SECTION.split(page)[1:]
    for name, text in zip(sections[::2], sections[1::2]):
        for kind, code in BLOCK.findall(text):
            yield name, kind, code


def command(kind, code, project, modules, agent_modules):
    """Command that runs the block, and the folders to put before the PATH."""
    # the interpreter's own folder, not that of the link's target
    venv = str(Path(sys.executable).absolute().parent)
    if kind == "python":
        (project / "recipe.py").write_text(code)
        return [sys.executable, "recipe.py"], [venv]
    if kind == "node":
        (project / "recipe.mjs").write_text(code)
        (project / "node_modules").symlink_to(modules)
        return ["node", "recipe.mjs"], []
    return ["bash", "-euo", "pipefail", "-c", code], [f"{agent_modules}/.bin", venv]


def run(stage, kind, code, modules, agent_modules):
    """Exit code, output and errors of a recipe in an empty home."""
    home, project = stage.home()
    line, folders = command(kind, code, project, modules, agent_modules)
    environment = stage.environment(home, GATEKEEPER_URL=stage.url, GATEKEEPER_KEY=stage.key)
    environment["PATH"] = ":".join([*folders, environment["PATH"]])
    process = subprocess.Popen(
        line, env=environment, cwd=project, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, start_new_session=True,
    )
    try:
        out, errors = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, errors = process.communicate()
        errors += f"\nit did not end within {SECONDS} s"
    return process.returncode, out, errors


def is_missing(name, agent_modules):
    program = {"Claude Code": "claude", "Codex": "codex"}.get(name)
    return program and not Path(agent_modules, ".bin", program).exists()


def main(binary, page, modules, agent_modules):
    recipes = list(recipes_of(Path(page).read_text()))
    if len(recipes) != RECIPES:
        print(f"the page has {len(recipes)} recipes in place of {RECIPES}: FAILED")
        return 1
    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix="gatekeeper-recipes-") as folder:
        # the gateway of the agents' tests, with the models that the page names
        agents.VENDORS = [(*vendor[:3], MODELS.get(vendor[0], vendor[3])) for vendor in agents.VENDORS]
        stage = agents.Stage(binary, folder)
        try:
            for name, kind, code in recipes:
                if is_missing(name, agent_modules):
                    print(f"SKIPPED recipes: {name} is not installed", flush=True)
                    continue
                began, before = time.monotonic(), len(stage.upstream.seen)
                status, out, errors = run(stage, kind, code, modules, agent_modules)
                asked = len(stage.upstream.seen) > before
                if status == 0 and "OK" in out.split() and asked:
                    passed += 1
                    print(f"recipe {name}: passed ({time.monotonic() - began:.1f} s)", flush=True)
                else:
                    failed += 1
                    print(f"recipe {name}: FAILED with {status}: {out[-1000:]} {errors[-2000:]}", flush=True)
        finally:
            stage.stop()
        if failed:
            print(f"--- the server said\n{Path(stage.log).read_text()[-4000:]}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    binary, *folders = sys.argv[1:5]
    sys.exit(main(str(Path(binary).resolve()), *(str(Path(folder).absolute()) for folder in folders)))
