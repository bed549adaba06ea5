//! Files of another gateway, read up to a bound.

use std::path::Path;

use crate::cli::failure::Failure;

/// Text of a file of at most `bytes_max`.
pub(super) fn read(path: &Path, bytes_max: u64) -> Result<String, Failure> {
    use std::io::Read;
    let mut text = String::new();
    let failed = |cause: String| Failure::runtime(format!("{}: {cause}", path.display()));
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(bytes_max + 1).read_to_string(&mut text))
        .map_err(|error| failed(format!("failed to read the file ({error}); check its path")))?;
    if read as u64 > bytes_max {
        let most_mib = bytes_max / 1024 / 1024;
        return Err(failed(format!(
            "file larger than {most_mib} MiB; check the path"
        )));
    }
    Ok(text)
}
