"""An example of what a worker serves: put your own flows here."""

from pydantic import BaseModel

from runbus import flow, pause_flow_run, serve


class Approval(BaseModel):
    approve: bool
    reason: str = ""


@flow(log_prints=True)
async def deploy_release(version: str) -> str:
    answer = await pause_flow_run(Approval, timeout=24 * 3600)
    outcome = "deployed" if answer.approve else "stopped"
    print(f"{version} is {outcome}: {answer.reason or 'no reason given'}")
    return outcome


if __name__ == "__main__":
    serve(deploy_release.to_deployment("production"))
