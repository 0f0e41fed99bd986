"""A pause that asks for nothing: somebody looks, and says go on.

Try: run it, and resume the run, as its line says; or cancel it (`cancel_flow_run(id)`), and nothing
is deployed; or wait, and the pause runs out.
"""

from runbus import flow, pause_flow_run


@flow
def deploy(version: str) -> None:
    try:
        pause_flow_run(timeout=300)
    except TimeoutError:
        print(f"Nobody looked at {version}.")
    else:
        print(f"{version} goes out.")


if __name__ == "__main__":
    deploy("1.4.2")
