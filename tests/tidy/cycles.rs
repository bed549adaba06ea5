//! Rule against import cycles: inside one folder the files and subfolders form a graph of `use` items and paths, and the
//! graph has no cycle. Input is every file of `src`; the result names one shortest cycle per knot. Unit tests are left
//! out; `mod` declarations and re-exports in `mod.rs` are no references. Method calls are invisible to it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::source::{Source, line_at, words};

type ModulePath = Vec<String>;

/// One module of `src` without its unit tests.
struct Module {
    path: ModulePath,
    file: String,
    source: Source,
}

/// A name that a `use` item brings into scope.
struct Import {
    name: String,
    path: ModulePath,
    at: usize,
    is_public: bool,
}

/// A path in the code, resolved to the root of the crate.
struct Reference {
    path: ModulePath,
    at: usize,
}

/// Edges of one folder: from, to, the place that names it.
type Graph = BTreeMap<String, BTreeMap<String, String>>;

/// Import cycles of every folder below `src`, as folder and fault.
pub fn import_cycles(files: &[(String, String)]) -> Vec<(String, String)> {
    let modules = modules(files);
    let paths: BTreeSet<ModulePath> = modules.iter().map(|module| module.path.clone()).collect();
    let references: Vec<Vec<Reference>> = modules
        .iter()
        .map(|module| references(module, &paths))
        .collect();
    let folders = paths.iter().filter(|folder| {
        let is_inside = |path: &&ModulePath| path.len() > folder.len() && path.starts_with(folder);
        !folder.is_empty() && paths.iter().any(|path| is_inside(&path))
    });
    let mut faults = Vec::new();
    for folder in folders {
        let graph = graph(folder, &modules, &references, &paths);
        let name = folder.join("/");
        faults.extend(
            cycles(&graph)
                .into_iter()
                .map(|cycle| (name.clone(), format!("{name}: {cycle}"))),
        );
    }
    faults
}

/// Modules by path; `tests.rs` and modules declared under `#[cfg(test)]` are left out.
fn modules(files: &[(String, String)]) -> Vec<Module> {
    let mut modules = Vec::new();
    let mut test_only = BTreeSet::new();
    for (file, text) in files.iter().filter(|(file, _)| file != "main.rs") {
        let path = module_path(file);
        let all = Source::read(text);
        let source = all.clone().without_tests();
        let kept = declared_modules(&source);
        for name in declared_modules(&all).difference(&kept) {
            test_only.insert([path.clone(), vec![name.clone()]].concat());
        }
        modules.push(Module {
            path,
            file: file.clone(),
            source,
        });
    }
    modules.retain(|module| !test_only.iter().any(|test| module.path.starts_with(test)));
    modules
}

/// `store/wal/mod.rs` is `[store, wal]`, `lib.rs` the root.
fn module_path(file: &str) -> ModulePath {
    let mut path: ModulePath = file
        .trim_end_matches(".rs")
        .split('/')
        .map(str::to_owned)
        .collect();
    if path.last().is_some_and(|last| last == "mod") || file == "lib.rs" {
        path.pop();
    }
    path
}

fn declared_modules(source: &Source) -> BTreeSet<String> {
    let tokens: Vec<&str> = words(&source.code).map(|(_, word)| word).collect();
    let declared = tokens
        .windows(3)
        .filter(|three| three[0] == "mod" && three[2] == ";");
    declared.map(|three| three[1].to_owned()).collect()
}

/// Every path of a module that leads to an item of another module of the crate.
fn references(module: &Module, modules: &BTreeSet<ModulePath>) -> Vec<Reference> {
    let (imports, body) = split_imports(module, modules);
    let is_entry =
        |path: &ModulePath| path.len() > module.path.len() && path.starts_with(&module.path);
    let is_folder = modules.iter().any(is_entry);
    let is_reexport = |import: &&Import| is_folder && import.is_public && is_entry(&import.path);
    let imported = imports
        .iter()
        .filter(|import| !is_reexport(import))
        .map(|import| Reference {
            path: import.path.clone(),
            at: import.at,
        });
    let in_body = paths_in(&body).into_iter().filter_map(|(start, names)| {
        let path = is_use_of_item(&body, start, &names)
            .then(|| resolve(&names, module, modules, &imports))??;
        let at = body[start].0;
        Some(Reference { path, at })
    });
    let mut references: Vec<Reference> = imported.chain(in_body).collect();
    references.retain(|reference| !modules.contains(&reference.path));
    references
}

/// The imports of a module and the tokens outside its `use` items.
fn split_imports<'a>(
    module: &'a Module,
    modules: &BTreeSet<ModulePath>,
) -> (Vec<Import>, Vec<(usize, &'a str)>) {
    let tokens: Vec<(usize, &str)> = words(&module.source.code).collect();
    let (mut imports, mut body) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        let is_import =
            tokens[at].1 == "use" && tokens.get(at + 1).is_some_and(|(_, next)| *next != "<");
        if !is_import {
            body.push(tokens[at]);
            at += 1;
            continue;
        }
        let length = tokens[at..]
            .iter()
            .take_while(|(_, word)| *word != ";")
            .count();
        let tree: Vec<&str> = tokens[at + 1..at + length]
            .iter()
            .map(|(_, word)| *word)
            .collect();
        let (start, is_public) = (tokens[at].0, follows_pub(&body));
        imports.extend(use_tree(&tree, &[]).into_iter().filter_map(|(name, path)| {
            let path = resolve(&path, module, modules, &[])?;
            Some(Import {
                name,
                path,
                at: start,
                is_public,
            })
        }));
        at += length;
    }
    (imports, body)
}

/// True behind `pub` and `pub(...)`.
fn follows_pub(body: &[(usize, &str)]) -> bool {
    let mut before = body.iter().rev().map(|(_, word)| *word);
    before.find(|word| !["(", ")", "super", "crate", "in", "self"].contains(word)) == Some("pub")
}

/// False for local names, methods, fields and the names of declarations.
fn is_use_of_item(body: &[(usize, &str)], start: usize, names: &[String]) -> bool {
    let before = start.checked_sub(1).map(|before| body[before].1);
    let after = body.get(start + names.len() * 2 - 1).map(|(_, word)| *word);
    let is_item = names.len() > 1 || names[0].starts_with(char::is_uppercase) || after == Some("(");
    is_item && !matches!(before, Some("." | "fn" | "struct" | "enum" | "mod"))
}

/// Names of a `use` tree with their full paths: `a::{self, b as c}` gives `a` and `c`.
fn use_tree(tree: &[&str], prefix: &[&str]) -> Vec<(String, ModulePath)> {
    let group = tree.iter().position(|word| *word == "{");
    let head = &tree[..group.unwrap_or(tree.len())];
    let mut path: Vec<&str> = prefix.to_vec();
    let mut alias = None;
    for (at, word) in head.iter().enumerate() {
        match *word {
            "::" => {}
            "as" => {
                alias = head.get(at + 1).copied();
                break;
            }
            name => path.push(name),
        }
    }
    if let Some(group) = group {
        return split_group(&tree[group + 1..])
            .into_iter()
            .flat_map(|part| use_tree(part, &path))
            .collect();
    }
    if path.len() > 1 && path.last() == Some(&"self") {
        path.pop();
    }
    let name = alias
        .or(path.last().copied())
        .unwrap_or_default()
        .to_owned();
    vec![(name, path.into_iter().map(str::to_owned).collect())]
}

/// Parts of a group up to its closing brace.
fn split_group<'a, 'b>(tokens: &'b [&'a str]) -> Vec<&'b [&'a str]> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, word) in tokens.iter().enumerate() {
        match *word {
            "{" => depth += 1,
            "}" if depth == 0 => {
                parts.push(&tokens[start..at]);
                break;
            }
            "}" => depth -= 1,
            "," if depth == 0 => {
                parts.push(&tokens[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// Maximal paths `a::b::c` (also of one name) with the index of their first token.
fn paths_in(tokens: &[(usize, &str)]) -> Vec<(usize, ModulePath)> {
    let is_name = |at: usize| {
        tokens
            .get(at)
            .is_some_and(|(_, word)| word.starts_with(|c: char| c.is_alphabetic() || c == '_'))
    };
    let is_joint = |at: usize| tokens.get(at).is_some_and(|(_, word)| *word == "::");
    let mut paths = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let start = at;
        at += 1;
        if !is_name(start) || (start > 0 && is_joint(start - 1)) {
            continue;
        }
        let mut names = vec![tokens[start].1.to_owned()];
        while is_joint(at) && is_name(at + 1) {
            names.push(tokens[at + 1].1.to_owned());
            at += 2;
        }
        paths.push((start, names));
    }
    paths
}

/// Path from the root of the crate; `None` if it leads out of the crate or to a local name.
fn resolve(
    names: &[String],
    module: &Module,
    modules: &BTreeSet<ModulePath>,
    imports: &[Import],
) -> Option<ModulePath> {
    let first = names.first()?.as_str();
    let child = [&module.path[..], &names[..1]].concat();
    let (mut base, mut rest) = match first {
        "crate" => (Vec::new(), &names[1..]),
        "self" => (module.path.clone(), &names[1..]),
        "super" => (module.path.clone(), names),
        _ => {
            let import = imports.iter().find(|import| import.name == first);
            let base = import
                .map(|import| import.path.clone())
                .or(modules.contains(&child).then_some(child))?;
            (base, &names[1..])
        }
    };
    while rest.first().is_some_and(|name| name == "super") {
        base.pop();
        rest = &rest[1..];
    }
    Some([base, rest.to_vec()].concat())
}

fn graph(
    folder: &[String],
    modules: &[Module],
    references: &[Vec<Reference>],
    paths: &BTreeSet<ModulePath>,
) -> Graph {
    let node = |path: &[String]| {
        path.get(folder.len())
            .map_or("mod", String::as_str)
            .to_owned()
    };
    let mut graph = Graph::new();
    let inside = modules
        .iter()
        .zip(references)
        .filter(|(module, _)| module.path.starts_with(folder));
    for (module, references) in inside {
        let into_folder = references
            .iter()
            .filter(|reference| reference.path.starts_with(folder));
        for reference in into_folder {
            let (from, to) = (node(&module.path), node(target(&reference.path, paths)));
            if from != to {
                let edges = graph.entry(from).or_default();
                edges.entry(to).or_insert_with(|| place(module, reference));
            }
        }
    }
    graph
}

/// The module that has the item: the longest part of the path that is a module.
fn target<'a>(path: &'a [String], modules: &BTreeSet<ModulePath>) -> &'a [String] {
    (0..=path.len())
        .rev()
        .map(|length| &path[..length])
        .find(|path| modules.contains(*path))
        .unwrap_or_default()
}

fn place(module: &Module, reference: &Reference) -> String {
    let line = line_at(&module.source.code, reference.at);
    format!("{}:{line} names {}", module.file, reference.path.join("::"))
}

/// One shortest cycle for each strongly connected component.
fn cycles(graph: &Graph) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut cycles = Vec::new();
    for start in graph.keys() {
        if seen.contains(start) {
            continue;
        }
        if let Some(cycle) = shortest_cycle(graph, start) {
            seen.extend(cycle.iter().cloned());
            let steps = cycle.windows(2).map(|pair| {
                format!(
                    "\n    {} -> {}: {}",
                    pair[0], pair[1], graph[&pair[0]][&pair[1]]
                )
            });
            cycles.push(format!(
                "cycle of {}{}",
                cycle.join(" -> "),
                steps.collect::<String>()
            ));
        }
    }
    cycles
}

fn shortest_cycle(graph: &Graph, start: &str) -> Option<Vec<String>> {
    let mut queue = VecDeque::from([vec![start.to_owned()]]);
    let mut visited = BTreeSet::new();
    while let Some(path) = queue.pop_front() {
        for next in graph.get(path.last()?).into_iter().flat_map(BTreeMap::keys) {
            let longer = [path.clone(), vec![next.clone()]].concat();
            if next == start {
                return Some(longer);
            }
            if visited.insert(next.clone()) {
                queue.push_back(longer);
            }
        }
    }
    None
}

#[cfg(test)]
mod samples {
    use super::import_cycles;

    fn folders_with_cycle(files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<_> = files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
            .collect();
        import_cycles(&files)
            .into_iter()
            .map(|(folder, _)| folder)
            .collect()
    }

    #[test]
    fn cycle_between_files_is_reported() {
        let files = [
            ("a/mod.rs", "mod b;\nmod c;"),
            ("a/b.rs", "use crate::a::c::{C, D};"),
            ("a/c.rs", "fn f() { super::b::g() }"),
        ];
        assert_eq!(folders_with_cycle(&files), ["a"]);
        let tree = [
            files[0],
            files[1],
            ("a/c.rs", "use crate::z;\nfn f() { z::b() }"),
        ];
        assert_eq!(folders_with_cycle(&tree), [""; 0]);
    }

    #[test]
    fn cycle_through_entry_file_is_reported() {
        let child = ("a/b.rs", "use super::Item;");
        let cycle_with = |entry| folders_with_cycle(&[("a/mod.rs", entry), child]);
        assert_eq!(cycle_with("mod b;\nstruct Item;\nfn f() { b::g() }"), ["a"]);
        assert_eq!(cycle_with("mod b;\npub use b::B;\nstruct Item(B);"), ["a"]);
        assert_eq!(
            cycle_with("mod b;\nuse self::b::B as C;\nstruct Item;"),
            ["a"]
        );
        assert_eq!(cycle_with("mod b;\npub use b::B;\nstruct Item;"), [""; 0]);
    }

    #[test]
    fn cycle_between_subfolders_is_reported() {
        let files = [
            ("a/mod.rs", "mod b; mod c;"),
            ("a/b/mod.rs", "mod d;"),
            ("a/b/d.rs", "use crate::a::c;\nfn f() { c::g() }"),
            ("a/c.rs", "fn g() { crate::a::b::d::f() }"),
        ];
        assert_eq!(folders_with_cycle(&files), ["a"]);
    }

    #[test]
    fn cycle_through_unit_tests_is_allowed() {
        let files = [
            (
                "a/mod.rs",
                "mod b;\n#[cfg(test)]\nmod samples;\n#[cfg(test)]\nmod tests { use super::b::B; }",
            ),
            ("a/b.rs", "use crate::a::Item;"),
            ("a/samples.rs", "use crate::a::b::B;"),
        ];
        assert_eq!(folders_with_cycle(&files), [""; 0]);
    }
}
