//! Runs commands in a folder and keeps what they say in a text file that people can read.

use crate::common::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots")
}

/// The cases of one snapshot file, in a folder of their own.
pub struct Area {
    name: &'static str,
    pub t: Folder,
    blocks: Vec<String>,
}

impl Area {
    /// A folder with a grid of 3 x 3 degrees and two days (`v.nc`), the region `a` on it (`r.geojson`) and the index (`v.idx`).
    pub fn new(name: &'static str) -> Area {
        let t = Folder::new(&format!("errors-{name}"));
        t.write("v.nc", file((40.5, 3), (260.5, 3), 2, |_, y, x| value(y, x)));
        t.write("r.geojson", geojson(&[("a", vec![area(260.0, 40.0, 262.0, 42.0)])]));
        t.fine("index --regions r.geojson --key id --grid v.nc -o v.idx");
        Area { name, t, blocks: Vec::new() }
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        self.t.write(name, bytes);
    }

    pub fn pipe(&self, name: &str) {
        let made = Command::new("mkfifo").arg(self.t.0.join(name)).status();
        assert!(made.is_ok_and(|s| s.success()), "mkfifo {name}");
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.t.0.join(name)).expect("a file of the test")
    }

    /// What a command of the shell says. What it makes is named, and taken away again.
    pub fn case(&mut self, title: &str, command: &str) {
        let before = files(&self.t.0);
        // A hang is a fault too. The program's folder goes before all others.
        let program = Path::new(env!("CARGO_BIN_EXE_ncproj")).parent().expect("a folder");
        let path = std::env::var("PATH").unwrap_or_default();
        let out = Command::new("timeout")
            .args(["20", "sh", "-c", command])
            .env("PATH", format!("{}:{path}", program.display()))
            .current_dir(&self.t.0)
            .output()
            .expect("a shell");
        let mut block = format!("# {title}\n$ {command}\n");
        match out.status.code() {
            Some(code) => block += &format!("exit {code}\n"),
            None => block += "killed\n",
        }
        for (stream, bytes) in [("stderr", &out.stderr), ("stdout", &out.stdout)] {
            let text = String::from_utf8_lossy(bytes);
            if text.is_empty() {
                continue;
            }
            assert!(!text.contains("panicked"), "{command}\n{text}");
            block += &format!("{stream}:\n");
            for line in text.trim_end().lines() {
                block += format!("    {line}").trim_end();
                block.push('\n');
            }
        }
        let after = files(&self.t.0);
        for (name, about) in &after {
            assert!(!name.ends_with(".part"), "{name} was left behind by\n{command}");
            match before.get(name) {
                None => {
                    block += &format!("makes {name}\n");
                    std::fs::remove_file(self.t.0.join(name)).expect("it goes away");
                }
                Some(old) if old != about => block += &format!("changes {name}\n"),
                Some(_) => {}
            }
        }
        for name in before.keys().filter(|n| !after.contains_key(*n)) {
            block += &format!("removes {name}\n");
        }
        self.add(block);
    }

    /// Most cases: `ncproj` with these arguments.
    pub fn says(&mut self, title: &str, arguments: &str) {
        self.case(title, &format!("ncproj {arguments}"));
    }

    /// An error that only callers of the library meet.
    pub fn library(&mut self, title: &str, error: Option<ncproj::error::Error>) {
        let error = error.expect("an error");
        let mut block =
            format!("# {title}\n(by the library)\nexit {}\nstderr:\n", error.exit_code());
        for line in format!("error: {error}").lines() {
            block += format!("    {line}").trim_end();
            block.push('\n');
        }
        self.add(block);
    }

    fn add(&mut self, block: String) {
        self.blocks.push(block.replace(&self.t.0.display().to_string(), "FOLDER"));
    }

    /// Compares all with what is kept, case by case.
    pub fn finish(self) {
        let path = folder().join(format!("{}.txt", self.name));
        let text = self.blocks.join("\n");
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            std::fs::create_dir_all(folder()).expect("the folder of snapshots");
            std::fs::write(&path, text).expect("the snapshot");
            return;
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        let title = |b: &str| b.lines().next().unwrap_or_default().to_string();
        let old: Vec<String> = kept
            .split("\n# ")
            .map(|b| format!("# {}\n", b.trim_start_matches("# ").trim_end()))
            .collect();
        let mut wrong = String::new();
        for new in &self.blocks {
            let new = format!("{}\n", new.trim_end());
            match old.iter().find(|o| title(o) == title(&new)) {
                Some(o) if *o == new => {}
                Some(o) => wrong += &format!("--- kept\n{o}--- now\n{new}\n"),
                None => wrong += &format!("--- not kept yet\n{new}\n"),
            }
        }
        for o in old.iter().filter(|o| !self.blocks.iter().any(|n| title(n) == title(o))) {
            wrong += &format!("--- kept, but there is no such case\n{o}\n");
        }
        assert!(
            wrong.is_empty() && kept == text,
            "tests/snapshots/{}.txt is not what the program says:\n\n{wrong}\n\
             `UPDATE_SNAPSHOTS=1 cargo test --release --test errors` accepts it",
            self.name
        );
    }
}

/// All files below a folder, by length and time.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(f) = folders.pop() {
        for entry in std::fs::read_dir(&f).expect("a folder").flatten() {
            let (path, meta) = (entry.path(), entry.metadata().expect("a file"));
            if meta.is_dir() {
                folders.push(path.clone());
            } else {
                let name = path.strip_prefix(folder).expect("below the folder");
                let about =
                    format!("{:?} {} {:?}", meta.file_type(), meta.len(), meta.modified().ok());
                out.insert(name.display().to_string(), about);
            }
        }
    }
    out
}

#[test]
fn titles_are_used_once() {
    for entry in std::fs::read_dir(folder()).expect("the snapshots").flatten() {
        let text = std::fs::read_to_string(entry.path()).expect("a snapshot");
        let mut titles: Vec<&str> = text.lines().filter(|l| l.starts_with("# ")).collect();
        titles.sort_unstable();
        let twice = titles.windows(2).find(|w| w[0] == w[1]);
        assert!(twice.is_none(), "{}: {twice:?}", entry.path().display());
    }
}
