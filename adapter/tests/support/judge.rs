//! What holds for every input of the adapter, good or damaged: it does not panic, and what it accepts becomes a module that
//! verifies.

use anyhow::{Context, Result, bail, ensure};
use tidegate_adapter::{AdaptError, InspectError, Options, adapt, inspect, verify};

/// Fails if `input` shows a fault of the adapter. Panics are the caller's to notice. `inspects` says whether `input` is
/// inspected as well if it is refused. Returns whether it is adapted.
pub fn judge(input: &[u8], options: &Options, inspects: bool) -> Result<bool> {
    match adapt(input, options) {
        Ok(output) => {
            verify(&output)?;
            let refusal = inspect(input).map(|inspection| inspection.rejection);
            // What it says of itself is not read when it is adapted.
            ensure!(
                matches!(refusal, Ok(None) | Err(InspectError::Metadata(_))),
                "it is adapted, and `inspect` says: {refusal:?}"
            );
            Ok(true)
        }
        // A bad file is refused before something is made of it, not after.
        Err(AdaptError::Verify(error)) => bail!("something is made of it: {error}"),
        // Nor does the adapter contradict itself, whatever comes in.
        Err(error @ AdaptError::Internal { .. }) => Err(error).context("internal error"),
        // Both begin alike, so what was refused is inspected only now and then.
        Err(_) => {
            if inspects {
                drop(inspect(input));
            }
            Ok(false)
        }
    }
}
