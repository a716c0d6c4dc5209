"""The front door: `./inv TASK`. The tasks are in commands/, the work is in infra/ and dataset/.

Exit codes: 0 ok, 1 failed, 2 usage or settings, 3 preflight, 4 locked, 5 rolled back, 6 unreachable. Progress goes to
stderr, data to stdout.
"""

from __future__ import annotations

from invoke.collection import Collection

from commands import checking, data, deploying, lifecycle, locking, looking, machine, pairs, people, projects, running
from commands.program import Front
from core.deferred import defer, leave_out

namespace = Collection(
    machine.up,
    running.down,
    running.restart,
    running.exec_,
    running.prune,
    lifecycle.restore,
    lifecycle.upgrade,
    projects.embed,
    projects.preannotate,
    projects.propagate,
    projects.stats,
    deploying.plan,
    deploying.deploy,
    deploying.rollback,
    deploying.releases,
    deploying.audit,
    deploying.docs,
    data.export,
    data.import_,
    data.agreement,
    looking.status,
    looking.doctor,
    looking.logs,
    looking.tunnel,
    looking.sbom,
    checking.fix,
    checking.test,
    checking.test_e2e,
    checking.bench,
    Collection("backup", lifecycle.make, lifecycle.list_, lifecycle.verify),
    Collection("bundle", deploying.create, deploying.verify),
    Collection("config", data.check),
    Collection("database", data.move),
    Collection("lock", locking.status, locking.take, locking.release),
    Collection("pairs", pairs.demo, pairs.register, pairs.transfer, pairs.apply),
    Collection("secrets", running.rotate),
    Collection("user", people.add, people.list_, people.reset, people.remove),
    Collection("project", projects.plan, projects.apply, projects.pull, projects.sync),
)

if __name__ == "__main__":
    # Both together are a sixth of the time that `./inv status` takes.
    defer("paramiko")  # which the Docker SDK imports for engines behind SSH
    leave_out("httpx._main")  # httpx's own command line, with click, rich and pygments
    Front().run()
