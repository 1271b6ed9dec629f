//! The files that a paper becomes: `report.html`, `data.json`, a CSV for each table, and each picture as
//! SVG and PNG, if this was built with what draws them.
//!
//! Everything is made before the first byte is written, and each file appears whole or not at all.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::chart::DrawError;
use super::{Paper, canvas, page};

/// A paper that could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A picture could not be drawn.
    #[error(transparent)]
    Drawing(#[from] DrawError),
    /// A file could not be written.
    #[error("{path} cannot be written", path = .0.display())]
    File(PathBuf, #[source] io::Error),
}

/// Writes it into this folder, which is made if it is not there. Returns the page's path.
pub fn write(paper: &Paper, folder: &Path) -> Result<PathBuf, WriteError> {
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    let mut pictures = Vec::new();
    for section in &paper.sections {
        for table in &section.tables {
            files.push((format!("{}.csv", table.id), table.csv().into_bytes()));
        }
        for chart in &section.charts {
            let Some(picture) = canvas::picture(chart)? else { continue };
            files.push((format!("{}.svg", chart.id()), picture.svg.clone().into_bytes()));
            files.push((format!("{}.png", chart.id()), picture.png));
            pictures.push((chart.id().to_owned(), picture.svg));
        }
    }
    let data = serde_json::to_vec_pretty(paper).expect("a paper holds nothing that JSON cannot");
    files.push(("data.json".into(), data));
    files.push(("report.html".into(), page::html(paper, &pictures).into_bytes()));
    let failed = |path: &Path, error| WriteError::File(path.to_owned(), error);
    fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    for (name, bytes) in files {
        let path = folder.join(name);
        put(&path, &bytes).map_err(|error| failed(&path, error))?;
    }
    Ok(folder.join("report.html"))
}

fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".evenkeel-lab-").tempfile_in(folder)?;
    file.write_all(bytes)?;
    // What is kept of it may be for others to read, unlike what is temporary.
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(readable)?;
    file.persist(path)?;
    Ok(())
}
