//! Layers: a tar with one file in it, compressed, the same bytes each time; and the way back, as Istio's agent goes it.

use std::cell::Cell;
use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use flate2::{Compression, GzBuilder};
use tar::{Archive, EntryType, Header};

/// The name that Istio's agent looks for, in whatever folder.
pub(crate) const FILE: &str = "plugin.wasm";

/// A layer in both its forms: an image's configuration names it by the digest of the one, its manifest by the other's.
pub(crate) struct Layer {
    pub tar: Vec<u8>,
    pub gzip: Vec<u8>,
}

/// Why there is no plugin in a layer.
#[derive(Debug)]
pub(crate) enum UnpackError {
    /// No file of that name, but these, and maybe more.
    Absent(Vec<String>),
    /// It ends behind the limit.
    TooLarge,
    /// No gzip, or no tar in it.
    Unreadable(io::Error),
}

/// How many other names are remembered, to be told, and how much of each.
const MAX_NAMES: usize = 5;
const MAX_NAME: usize = 100;

/// Packs a module. Nothing goes in that differs between two machines or two days.
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

/// Finds the plugin. The tar up to its end may have `limit` bytes, and no more of it is held than the plugin.
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
            // What it says of itself is enough to leave it.
            if entry.size() > limit {
                return Err(UnpackError::TooLarge);
            }
            let mut wasm = Vec::new();
            entry.read_to_end(&mut wasm).map_err(sort)?;
            // A tar that ends within a file is no tar.
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

/// The last part of a path, as Go's `filepath.Base` has it.
fn base(path: &[u8]) -> &[u8] {
    let mut parts = path.rsplit(|byte| *byte == b'/');
    parts.find(|part| !part.is_empty()).unwrap_or_default()
}

/// Ends with an error where there should be no more.
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
    fn layer_is_the_same_bytes_each_time() {
        let layer = pack(WASM).expect("a layer");
        let again = pack(WASM).expect("a layer");
        assert!(layer.tar == again.tar && layer.gzip == again.gzip);
        // No time, and no name of a system.
        assert_eq!(layer.gzip.get(4..8), Some([0; 4].as_slice()));
        assert_eq!(layer.gzip.get(9), Some(&255));
        assert_eq!(unpack(&layer.gzip, 2048).expect("a plugin"), WASM);
    }

    #[test]
    fn plugin_is_the_first_of_its_name_in_any_folder() {
        let tar = archive(&[
            ("README", b"plugin.wasm"),
            ("xplugin.wasm", b"no"),
            ("opt/x/plugin.wasm", WASM),
            ("plugin.wasm", b"second"),
        ]);
        assert_eq!(unpack(&gzipped(&tar), 1 << 20).expect("a plugin"), WASM);
    }

    #[test]
    fn layer_without_plugin_says_what_it_has() {
        let files: Vec<_> = ["a", "b", "c", "d", "e", "f"]
            .map(|name| (name, WASM))
            .into();
        match unpack(&gzipped(&archive(&files)), 1 << 20) {
            Err(UnpackError::Absent(names)) => assert_eq!(names, ["a", "b", "c", "d", "e"]),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn layer_beyond_the_limit_is_not_read_on() {
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
    fn layer_that_lies_about_its_files_is_unreadable() {
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
