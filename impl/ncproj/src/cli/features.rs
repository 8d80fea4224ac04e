//! `ncproj features`: what is done with what files say.

use crate::print;
use clap::Args;
use ncproj::error::Result;
use ncproj::features::{Does, all};
use serde_json::{Value, json};

#[derive(Args)]
pub struct FeaturesArgs {
    /// As JSON
    #[arg(long)]
    json: bool,
}

fn word(does: Does) -> &'static str {
    match does {
        Does::Honoured => "honoured",
        Does::Converted => "converted",
        Does::Refused => "refused",
    }
}

pub fn run(a: &FeaturesArgs) -> Result<()> {
    if a.json {
        let every: Vec<Value> = all()
            .iter()
            .map(|f| json!({"of": f.of, "name": f.name, "does": word(f.does), "how": f.how}))
            .collect();
        return print(&format!("{:#}\n", Value::from(every)));
    }
    let mut text = String::new();
    let mut group = "";
    for f in all() {
        if f.of != group {
            group = f.of;
            text.push_str(&format!("{group}\n"));
        }
        text.push_str(&format!("  {}: {}: {}\n", f.name, word(f.does), f.how));
    }
    print(&text)
}
