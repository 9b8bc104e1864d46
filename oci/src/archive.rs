//! Layers: packs a module into a reproducible compressed tar archive with a single file, and unpacks layers in the same way
//! as Istio's agent.

use std::cell::Cell;
use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use flate2::{Compression, GzBuilder};
use tar::{Archive, EntryType, Header};

/// The file name that Istio's agent looks for, in any directory.
pub(crate) const FILE: &str = "plugin.wasm";

/// A layer in uncompressed and compressed form. The image's configuration references it by the digest of the former, the
/// manifest by the digest of the latter.
pub(crate) struct Layer {
    pub tar: Vec<u8>,
    pub gzip: Vec<u8>,
}

/// An error returned when a plugin cannot be unpacked from a layer.
#[derive(Debug)]
pub(crate) enum UnpackError {
    /// The layer does not contain a file of that name. The names of some of its files are listed.
    Absent(Vec<String>),
    /// The plugin ends beyond the size limit.
    TooLarge,
    /// The layer is not valid gzip, or does not contain a valid tar archive.
    Unreadable(io::Error),
}

/// The maximum number of other file names that are kept for error messages, and the maximum length of each.
const MAX_NAMES: usize = 5;
const MAX_NAME: usize = 100;

/// Packs a module. The output contains nothing that depends on the machine or the time.
pub(crate) fn pack(wasm: &[u8]) -> io::Result<Layer> {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(wasm.len() as u64);
    let mut builder = tar::Builder::new(Vec::with_capacity(wasm.len() + 2048));
    builder.append_data(&mut header, FILE, wasm)?;
    let tar = builder.into_inner()?;
    let mut gzip = Vec::new();
    let mut encoder = GzBuilder::new()
        .mtime(0)
        .read(tar.as_slice(), Compression::best());
    encoder.read_to_end(&mut gzip)?;
    Ok(Layer { tar, gzip })
}

/// Unpacks the plugin. The tar archive is limited to `limit` bytes up to the end of the plugin, and only the plugin is kept
/// in memory.
pub(crate) fn unpack(gzip: &[u8], limit: u64) -> Result<Vec<u8>, UnpackError> {
    let is_over = Cell::new(false);
    let sort = |error| match is_over.get() {
        true => UnpackError::TooLarge,
        false => UnpackError::Unreadable(error),
    };
    let mut archive = Archive::new(Limited {
        from: MultiGzDecoder::new(gzip),
        left: limit,
        is_over: &is_over,
    });
    let mut names = Vec::new();
    for entry in archive.entries().map_err(sort)? {
        let mut entry = entry.map_err(sort)?;
        let path = entry.path_bytes().into_owned();
        if base(&path) == FILE.as_bytes() {
            // The size in the header is sufficient to reject the entry.
            if entry.size() > limit {
                return Err(UnpackError::TooLarge);
            }
            let mut wasm = Vec::new();
            entry.read_to_end(&mut wasm).map_err(sort)?;
            // A tar archive that ends within a file is invalid.
            if wasm.len() as u64 != entry.size() {
                return Err(sort(io::ErrorKind::UnexpectedEof.into()));
            }
            return Ok(wasm);
        }
        if names.len() < MAX_NAMES {
            let path = path.get(..MAX_NAME).unwrap_or(&path);
            names.push(String::from_utf8_lossy(path).into_owned());
        }
    }
    Err(UnpackError::Absent(names))
}

/// Returns the last component of a path, like Go's `filepath.Base`.
fn base(path: &[u8]) -> &[u8] {
    let mut parts = path.rsplit(|byte| *byte == b'/');
    parts.find(|part| !part.is_empty()).unwrap_or_default()
}

/// A reader that returns an error if the limit is exceeded.
struct Limited<'a, R> {
    from: R,
    left: u64,
    is_over: &'a Cell<bool>,
}

// === impl Limited ===

impl<R: Read> Read for Limited<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !into.is_empty() {
            self.is_over.set(true);
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let length = usize::try_from(self.left).map_or(into.len(), |left| into.len().min(left));
        let count = self.from.read(into.get_mut(..length).unwrap_or_default())?;
        self.left -= count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WASM: &[u8] = b"\0asm\x01\0\0\0";

    fn gzipped(bytes: &[u8]) -> Vec<u8> {
        let mut gzip = Vec::new();
        let mut encoder = flate2::read::GzEncoder::new(bytes, Compression::fast());
        encoder.read_to_end(&mut gzip).expect("gzip");
        gzip
    }

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in files {
            let mut header = Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            builder
                .append_data(&mut header, name, *bytes)
                .expect("an entry");
        }
        builder.into_inner().expect("a tar")
    }

    #[test]
    fn packing_is_deterministic() {
        let layer = pack(WASM).expect("a layer");
        let again = pack(WASM).expect("a layer");
        assert!(layer.tar == again.tar && layer.gzip == again.gzip);
        // No time stamp and no operating system.
        assert_eq!(layer.gzip.get(4..8), Some([0; 4].as_slice()));
        assert_eq!(layer.gzip.get(9), Some(&255));
        assert_eq!(unpack(&layer.gzip, 2048).expect("a plugin"), WASM);
    }

    #[test]
    fn first_plugin_wasm_in_any_directory_is_unpacked() {
        let tar = archive(&[
            ("README", b"plugin.wasm"),
            ("xplugin.wasm", b"no"),
            ("opt/x/plugin.wasm", WASM),
            ("plugin.wasm", b"second"),
        ]);
        assert_eq!(unpack(&gzipped(&tar), 1 << 20).expect("a plugin"), WASM);
    }

    #[test]
    fn missing_plugin_error_lists_the_first_files() {
        let files: Vec<_> = ["a", "b", "c", "d", "e", "f"]
            .map(|name| (name, WASM))
            .into();
        match unpack(&gzipped(&archive(&files)), 1 << 20) {
            Err(UnpackError::Absent(names)) => assert_eq!(names, ["a", "b", "c", "d", "e"]),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn layer_over_the_size_limit_is_rejected() {
        let tar = archive(&[("first", &[0; 4096]), ("plugin.wasm", &[0; 4096])]);
        let gzip = gzipped(&tar);
        // Two headers and two files.
        assert!(unpack(&gzip, 2 * (512 + 4096)).is_ok());
        for limit in [0, 1, 512, 4096, 2 * (512 + 4096) - 1] {
            assert!(
                matches!(unpack(&gzip, limit), Err(UnpackError::TooLarge)),
                "{limit}"
            );
        }
    }

    #[test]
    fn truncated_or_malformed_layer_is_unreadable() {
        let tar = archive(&[("plugin.wasm", WASM)]);
        let whole = gzipped(&tar);
        for end in 0..whole.len() {
            let cut = whole.get(..end).expect("a part");
            if let Ok(wasm) = unpack(cut, 1 << 20) {
                assert_eq!(wasm, WASM);
            }
        }
        for cut in [520, 513, 512, 100] {
            let cut = gzipped(tar.get(..cut).expect("a part"));
            match unpack(&cut, 1 << 20) {
                Err(UnpackError::Unreadable(_)) => {}
                Ok(wasm) => assert_eq!(wasm, WASM),
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(
            unpack(&tar, 1 << 20),
            Err(UnpackError::Unreadable(_))
        ));
        assert!(matches!(
            unpack(&gzipped(WASM), 1 << 20),
            Err(UnpackError::Unreadable(_))
        ));
    }
}
