//! Checks that apply to every input of the adapter, valid or damaged: it does not panic, and an accepted input
//! becomes a module that verifies.

use anyhow::{Context, Result, bail, ensure};
use tidegate_adapter::{AdaptError, InspectError, Options, adapt, inspect, verify};

/// Returns an error if `input` reveals a bug in the adapter, otherwise whether `input` is adapted. The caller must
/// catch panics. `inspects` determines whether rejected inputs are also inspected.
pub fn judge(input: &[u8], options: &Options, inspects: bool) -> Result<bool> {
    match adapt(input, options) {
        Ok(output) => {
            verify(&output)?;
            let refusal = inspect(input).map(|inspection| inspection.rejection);
            // The plugin's metadata is not read by `adapt`.
            ensure!(
                matches!(refusal, Ok(None) | Err(InspectError::Metadata(_))),
                "it is adapted, but `inspect` reports an error: {refusal:?}"
            );
            Ok(true)
        }
        // An invalid input must be rejected before linking, and not by the verification of the result.
        Err(AdaptError::Verify(error)) => {
            bail!("it was linked, but the result is invalid: {error}")
        }
        // Internal errors are bugs, regardless of the input.
        Err(error @ AdaptError::Internal { .. }) => Err(error).context("internal error"),
        // `adapt` and `inspect` begin with the same steps, so only some of the rejected inputs are inspected.
        Err(_) => {
            if inspects {
                drop(inspect(input));
            }
            Ok(false)
        }
    }
}
