"""A run that leaves its process until it is approved, however long that takes.

Try: run it, and in another terminal

    python -c "from runbus import run_deployment; \
        print(run_deployment('refund/desk', {'amount': 70}, timeout=0).id)"

End this program, start it again, and resume the run with `{"approved": True}`: nothing is lost.
What comes before the suspend runs twice, as the run begins anew when it is resumed.
"""

from runbus import RunInput, flow, suspend_flow_run


class Approval(RunInput):
    approved: bool
    note: str = ""


@flow
async def refund(amount: float) -> str:
    form = Approval.with_initial_data(description=f"Give **{amount:.2f}** back?")
    answer = await suspend_flow_run(wait_for_input=form, timeout=3600)
    outcome = "refunded" if answer.approved else "kept"
    print(f"{amount:.2f} {outcome} {answer.note}".rstrip())
    return outcome


if __name__ == "__main__":
    refund.serve(name="desk")
