//! `ncproj completion` and `ncproj man`, from the same definitions as the help.

use clap::{Args, ValueEnum};
use clap_complete::Shell;
use ncproj::error::{Error, Result, nearest};

#[derive(Clone, Copy, ValueEnum)]
pub enum ShellArg {
    Bash,
    Zsh,
    Fish,
}

#[derive(Args)]
pub struct CompletionArgs {
    /// For bash, `ncproj completion bash > ~/.local/share/bash-completion/completions/ncproj`; for zsh into a file
    /// `_ncproj` of a folder in `$fpath`; for fish, `~/.config/fish/completions/ncproj.fish`
    #[arg(value_enum)]
    shell: ShellArg,
}

#[derive(Args)]
pub struct ManArgs {
    /// A command, for its own page
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

fn shown(bytes: Vec<u8>) -> Result<()> {
    crate::print(&String::from_utf8_lossy(&bytes))
}

pub fn completion(a: &CompletionArgs, mut program: clap::Command) -> Result<()> {
    let shell = match a.shell {
        ShellArg::Bash => Shell::Bash,
        ShellArg::Zsh => Shell::Zsh,
        ShellArg::Fish => Shell::Fish,
    };
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut program, "ncproj", &mut out);
    shown(out)
}

pub fn man(a: &ManArgs, mut program: clap::Command) -> Result<()> {
    program.build();
    let page = match &a.command {
        None => program,
        Some(name) => {
            let known: Vec<String> = program
                .get_subcommands()
                .filter(|c| !c.is_hide_set())
                .map(|c| c.get_name().to_string())
                .collect();
            let found = program.find_subcommand(name).ok_or_else(|| {
                Error::usage(format!("there is no command `{name}`")).hint(nearest(name, &known))
            })?;
            found.clone().display_name(format!("ncproj-{name}"))
        }
    };
    let mut out = Vec::new();
    clap_mangen::Man::new(page)
        .render(&mut out)
        .map_err(|e| Error::data(format!("cannot make the page: {e}")))?;
    shown(out)
}
