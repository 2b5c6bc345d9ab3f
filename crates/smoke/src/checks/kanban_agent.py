# Starts a task of Vibe Kanban and prints the program that its agent runs as. Leaves nothing behind in Vibe Kanban.
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

LIMIT = 90  # seconds until the agent has started

port = json.load(open("/etc/rave/guest.json"))["services"]["kanban"]
folder = tempfile.mkdtemp(prefix="rave-smoke-", dir=os.path.expanduser("~"))


def call(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/api{path}", data, method=method)
    request.add_header("Content-Type", "application/json")
    answer = json.load(urllib.request.urlopen(request, timeout=LIMIT))
    if not answer["success"]:
        sys.exit(f"{method} {path}: {answer['message']}")
    return answer["data"]


def agent(worktree_of):
    """The program of a process in the task's worktree that was started with a prompt."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = open(f"/proc/{pid}/cmdline", "rb").read().split(b"\0")
            if b"-p" in words and worktree_of in os.readlink(f"/proc/{pid}/cwd"):
                return os.readlink(f"/proc/{pid}/exe")
        except OSError:
            continue
    return None


git = ["git", "-C", folder, "-c", "user.name=n", "-c", "user.email=e"]
subprocess.run(["git", "init", "--quiet", "--initial-branch=main", folder], check=True)
subprocess.run([*git, "commit", "--quiet", "--allow-empty", "--message=m"], check=True)
project = call("POST", "/projects", {"name": "smoke", "git_repo_path": folder, "use_existing_repo": True})["id"]
try:
    task = call("POST", "/tasks", {"project_id": project, "title": "rave-smoke", "description": "say hello"})["id"]
    profile = {"executor": "CLAUDE_CODE", "variant": None}
    begin = {"task_id": task, "executor_profile_id": profile, "base_branch": "main"}
    attempt = call("POST", "/task-attempts", begin)["id"]
    found, deadline = None, time.monotonic() + LIMIT
    while not found and time.monotonic() < deadline:
        found = agent("rave-smoke")
        time.sleep(0.05)
    print(found or f"no agent was started within {LIMIT} s")
    call("POST", f"/task-attempts/{attempt}/stop")
finally:
    call("DELETE", f"/projects/{project}")
    shutil.rmtree(folder, ignore_errors=True)
