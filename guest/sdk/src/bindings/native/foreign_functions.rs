//! `foreign-functions`: functions that Envoy provides beyond Proxy-Wasm.

use tidegate_semantics::hostcalls;

use super::types::Error;

pub fn call(name: &str, arguments: &[u8]) -> Result<Vec<u8>, Error> {
    let result = hostcalls::foreign_functions::call(name.as_bytes(), arguments)?;
    Ok(result.into())
}
