//! The local cache of the Hugging Face hub: what is in it, and how to get the rest. Nothing is ever downloaded here.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::error::{Error, Result};

/// Repositories whose checkpoint has no usual name or that have several: the file that the id alone stands for.
const FILES: [(&str, &str); 2] =
    [("hustvl/Vim-tiny-midclstok", "vim_t_midclstok_76p1acc.pth"), ("hustvl/Vim-small-midclstok", "vim_s_midclstok_80p5acc.pth")];

/// Where the files of VideoMamba are, which are called by the model's size, data, frames and side.
const VIDEO_MAMBA: &str = "OpenGVLab/VideoMamba";

/// A model of the hub, as ids and addresses name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubModel {
    /// `owner/name`.
    pub id: String,
    /// Branch, tag or commit.
    pub revision: Option<String>,
    /// A file of it.
    pub file: Option<String>,
}

impl HubModel {
    /// What `text` names: `owner/name`, `hf://owner/name`, or the address of a page of the hub, such as
    /// `https://huggingface.co/owner/name/blob/main/model.safetensors`; or the name of a published file of VideoMamba, such as
    /// `videomamba_t16_k400_f8_res224.pth`. `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if is_video_mamba(text) {
            let file = format!("{}.pth", text.trim_end_matches(".pth"));
            return Some(Self { id: VIDEO_MAMBA.to_owned(), revision: None, file: Some(file) });
        }
        let address = text.split_once("://").map_or(text, |(_, rest)| rest);
        let scheme = &text[..text.len() - address.len()];
        let path = match scheme {
            "hf://" => address,
            "" | "http://" | "https://" => {
                let host =
                    ["huggingface.co/", "www.huggingface.co/", "hf.co/"].iter().find_map(|host| address.strip_prefix(host));
                match (host, scheme) {
                    (Some(path), _) => path,
                    (None, "") if !address.starts_with('/') => address,
                    (None, _) => return None,
                }
            }
            _ => return None,
        };
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        let (owner, name) = (parts.next()?, parts.next()?);
        let (name, at) = name.split_once('@').map_or((name, None), |(name, revision)| (name, Some(revision)));
        let plain = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_alphanumeric())
                && part.chars().all(|c| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c))
        };
        if !plain(owner) || !plain(name) || ["datasets", "spaces", "docs", "papers"].contains(&owner) {
            return None;
        }
        let rest: Vec<&str> = parts.collect();
        let (revision, file) = match rest.as_slice() {
            [] => (at, Vec::new()),
            ["tree" | "blob" | "resolve" | "raw", revision, file @ ..] if scheme != "hf://" => (Some(*revision), file.to_vec()),
            // A path of more than two parts is a path.
            file if scheme == "hf://" => (at, file.to_vec()),
            _ => return None,
        };
        let file = Some(file.join("/")).filter(|file| !file.is_empty());
        let revision = revision.map(|revision| revision.replace("%2F", "/"));
        Some(Self { id: format!("{owner}/{name}"), revision, file })
    }

    /// The folder or file in the local cache (`HF_HUB_CACHE`, else `hub` in `HF_HOME`, else `~/.cache/huggingface/hub`).
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] with the command that downloads it when it is not there.
    pub fn cached(&self) -> Result<PathBuf> {
        let missing = |why: &str| Error::InvalidArgument(format!("{} is not {why}; get it with `{}`", self.id, self.download()));
        let Some(cache) = cache() else { return Err(missing("on this machine")) };
        let folder = cache.join(format!("models--{}", self.id.replace('/', "--")));
        let nowhere = || missing(&format!("in the local cache {}", cache.display()));
        let snapshot = snapshot(&folder, self.revision.as_deref()).ok_or_else(nowhere)?;
        let path = self.file().map_or(snapshot.clone(), |file| snapshot.join(file));
        if path.exists() { Ok(path) } else { Err(nowhere()) }
    }

    /// The file that is named, or that the id stands for; `None` where that is the usual one.
    fn file(&self) -> Option<&str> {
        let known = || FILES.iter().find(|(id, _)| *id == self.id).map(|(_, file)| *file);
        self.file.as_deref().or_else(known)
    }

    /// The command that downloads it into the cache.
    pub fn download(&self) -> String {
        let file = self.file().map(|file| format!(" {file}")).unwrap_or_default();
        let revision = self.revision.as_ref().filter(|revision| *revision != "main");
        let revision = revision.map(|revision| format!(" --revision {revision}")).unwrap_or_default();
        format!("hf download {}{file}{revision}", self.id)
    }
}

/// True for `videomamba_{t,s,m,b}16_{data}_..res{side}..`, with or without `.pth`.
fn is_video_mamba(name: &str) -> bool {
    let parts: Vec<&str> = name.trim_end_matches(".pth").split('_').collect();
    matches!(parts.as_slice(), ["videomamba", "t16" | "s16" | "m16" | "b16", _, .., side] if side.starts_with("res"))
        && !name.contains(['/', '\\'])
}

/// Where the cache is, by the variables that the hub's own tools heed.
fn cache() -> Option<PathBuf> {
    let home = || env::var_os("HOME").or_else(|| env::var_os("USERPROFILE")).map(PathBuf::from);
    let set = |name: &str| {
        let path = PathBuf::from(env::var_os(name).filter(|path| !path.is_empty())?);
        // The hub's tools take a tilde for the home folder.
        match path.strip_prefix("~") {
            Ok(rest) => Some(home()?.join(rest)),
            Err(_) => Some(path),
        }
    };
    set("HF_HUB_CACHE")
        .or_else(|| set("HUGGINGFACE_HUB_CACHE"))
        .or_else(|| Some(set("HF_HOME")?.join("hub")))
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("huggingface/hub")))
        .or_else(|| Some(home()?.join(".cache/huggingface/hub")))
}

/// The files of a model in the cache, whose folder is called `models--owner--name`: those of `revision`, else of `main`, else the
/// only ones that there are. `None` where there are none, or it is no such folder.
pub(crate) fn snapshot(folder: &Path, revision: Option<&str>) -> Option<PathBuf> {
    let snapshots = folder.join("snapshots");
    let of = |revision: &str| {
        let commit = fs::read_to_string(folder.join("refs").join(revision)).ok();
        let path = snapshots.join(commit.as_deref().unwrap_or(revision).trim());
        path.is_dir().then_some(path)
    };
    match (revision, of("main")) {
        (Some(revision), _) => of(revision),
        (None, Some(main)) => Some(main),
        (None, None) => {
            let mut all = fs::read_dir(&snapshots).ok()?.filter_map(|item| Some(item.ok()?.path())).filter(|path| path.is_dir());
            let first = all.next()?;
            all.next().is_none().then_some(first)
        }
    }
}

/// The folder that `path` stands for: a folder of the cache stands for the files of its model.
pub(crate) fn folder(path: &Path) -> PathBuf {
    snapshot(path, None).unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::HubModel;

    fn parts(text: &str) -> Option<[String; 3]> {
        HubModel::parse(text).map(|m| [m.id, m.revision.unwrap_or_default(), m.file.unwrap_or_default()])
    }

    #[test]
    fn ids_and_pages_are_understood() {
        let t = "nvidia/MambaVision-T-1K";
        let is = |text: &str, revision: &str, file: &str| {
            assert_eq!(parts(text), Some([t.to_owned(), revision.to_owned(), file.to_owned()]), "{text}");
        };
        is(t, "", "");
        is("nvidia/MambaVision-T-1K/", "", "");
        is("nvidia/MambaVision-T-1K@v1", "v1", "");
        is("hf://nvidia/MambaVision-T-1K", "", "");
        is("hf://nvidia/MambaVision-T-1K@v1/model.safetensors", "v1", "model.safetensors");
        for host in ["https://huggingface.co", "http://www.huggingface.co", "https://hf.co", "huggingface.co"] {
            is(&format!("{host}/{t}"), "", "");
            is(&format!("{host}/{t}/tree/main"), "main", "");
            is(&format!("{host}/{t}/blob/main/model.safetensors"), "main", "model.safetensors");
            is(&format!("{host}/{t}/resolve/refs%2Fpr%2F1/a/b.pth?download=true"), "refs/pr/1", "a/b.pth");
        }
        for text in [
            "",
            "name",
            "./a/b",
            "../a",
            "/a/b",
            "a/b/c",
            "https://example.org/a/b",
            "https://huggingface.co/datasets/a",
            "s3://a/b",
        ] {
            assert_eq!(parts(text), None, "{text}");
        }
        let page = HubModel::parse("https://huggingface.co/a/b/blob/v2/m.pth");
        assert_eq!(page.map(|page| page.download()).as_deref(), Some("hf download a/b m.pth --revision v2"));
    }

    #[test]
    fn repositories_without_a_usual_file_are_known() {
        let download = |text: &str| HubModel::parse(text).map(|model| model.download()).unwrap_or_default();
        let tiny = "hustvl/Vim-tiny-midclstok";
        assert_eq!(download(tiny), format!("hf download {tiny} vim_t_midclstok_76p1acc.pth"));
        for name in ["videomamba_t16_k400_f8_res224", "videomamba_m16_ssv2_mask_ft_f16_res224to288", "videomamba_b16_in1k_res224"]
        {
            let wanted = format!("hf download OpenGVLab/VideoMamba {name}.pth");
            assert_eq!([download(name), download(&format!("{name}.pth"))], [wanted.clone(), wanted]);
        }
        for name in ["videomamba_t", "videomamba_t_f8", "videomamba_l16_k400_f8_res224", "a/videomamba_t16_k400_f8_res224.pth"] {
            assert!(parts(name).is_none_or(|[id, ..]| id != "OpenGVLab/VideoMamba"), "{name}");
        }
        let other = download(&format!("hf://{tiny}/vim_t_midclstok_ft_78p3acc.pth"));
        assert_eq!(other, format!("hf download {tiny} vim_t_midclstok_ft_78p3acc.pth"));
    }
}
