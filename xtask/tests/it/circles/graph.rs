//! The dependencies between the modules of a crate, and their cycles.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use camino::Utf8PathBuf;

use super::modules::{Import, Module, ModulePath};

/// Why one module depends on another: the first reference.
#[derive(Debug, Clone)]
pub(crate) struct Reason {
    pub(crate) file: Utf8PathBuf,
    pub(crate) line: usize,
    pub(crate) path: String,
}

/// The edges of a graph of modules.
pub(crate) type Graph = BTreeMap<ModulePath, BTreeMap<ModulePath, Reason>>;

/// How many imports are followed, so that a self-import terminates.
const MAX_HOPS: usize = 16;

/// The dependencies. Re-exports of a module's own descendants, and declarations of children, are not dependencies: they
/// only define the tree.
pub(crate) fn of_modules(modules: &BTreeMap<ModulePath, Module>) -> Graph {
    let mut graph = Graph::new();
    for (from, module) in modules {
        let mut edges = BTreeMap::new();
        let mut add = |target: Option<ModulePath>, segments: &[String], line| {
            let Some(target) = target.filter(|target| target != from) else { return };
            let reason = Reason { file: module.file.clone(), line, path: segments.join("::") };
            edges.entry(target).or_insert(reason);
        };
        for import in &module.imports {
            let target = defining_module(modules, from, &import.target.segments, import.name.is_none());
            let only_places = import.is_reexport && target.as_ref().is_some_and(|to| to.starts_with(from));
            if !only_places {
                add(target, &import.target.segments, import.target.line);
            }
        }
        for reference in &module.references {
            add(
                defining_module(modules, from, &reference.segments, false),
                &reference.segments,
                reference.line,
            );
        }
        graph.insert(from.clone(), edges);
    }
    graph
}

/// The module that defines what `segments` refers to in `from`; `None` for other crates, local names, and paths that
/// end at a module, which do not use anything. Only a glob's path may end at a module.
fn defining_module(
    modules: &BTreeMap<ModulePath, Module>,
    from: &[String],
    segments: &[String],
    is_glob: bool,
) -> Option<ModulePath> {
    match resolve(modules, from, segments, MAX_HOPS)? {
        Target::Item(module) => Some(module),
        Target::Module(module) => is_glob.then_some(module),
    }
}

/// The target of a path.
#[derive(Debug, Clone)]
enum Target {
    Module(ModulePath),
    /// An item, or something inside one, that this module defines.
    Item(ModulePath),
}

fn resolve(
    modules: &BTreeMap<ModulePath, Module>,
    from: &[String],
    segments: &[String],
    hops: usize,
) -> Option<Target> {
    let mut place = from.to_vec();
    let mut rest = segments;
    let mut is_first = true;
    while let [segment, after @ ..] = rest {
        match segment.as_str() {
            "crate" if is_first => place.clear(),
            "self" if is_first => {}
            "super" => {
                place.pop()?;
            }
            name => match step(modules, &place, name, after.is_empty(), hops)? {
                Target::Item(module) => return Some(Target::Item(module)),
                Target::Module(module) => place = module,
            },
        }
        rest = after;
        is_first = false;
    }
    Some(Target::Module(place))
}

/// Resolves `name` in the module at `place`. A module and an item may share a name: the last segment is the item.
fn step(
    modules: &BTreeMap<ModulePath, Module>,
    place: &[String],
    name: &str,
    is_last: bool,
    hops: usize,
) -> Option<Target> {
    let module = modules.get(place)?;
    let is_child = module.children.contains(name);
    if is_child && !is_last {
        return Some(Target::Module(child(place, name)));
    }
    if module.items.contains(name) {
        return Some(Target::Item(place.to_vec()));
    }
    let hops = hops.checked_sub(1)?;
    let follow = |import: &Import| resolve(modules, place, &import.target.segments, hops);
    // A self-referential import (`use build::build` beside `mod build`) is resolved by its target's first segments.
    let named = module.imports.iter().filter(|import| import.name.as_deref() == Some(name));
    let found: Vec<Target> = named.filter_map(follow).collect();
    let item = found.iter().find(|target| matches!(target, Target::Item(_)));
    if let Some(target) = item.or(found.first()) {
        return Some(target.clone());
    }
    if is_child {
        return Some(Target::Module(child(place, name)));
    }
    let globs = module.imports.iter().filter(|import| import.name.is_none());
    globs.filter_map(follow).find_map(|glob| match glob {
        Target::Module(from) if from != place => step(modules, &from, name, is_last, hops),
        Target::Module(_) | Target::Item(_) => None,
    })
}

fn child(place: &[String], name: &str) -> ModulePath {
    place.iter().cloned().chain([name.to_owned()]).collect()
}

/// The groups of mutually reachable modules, each with its modules in order.
pub(crate) fn circles(graph: &Graph) -> Vec<BTreeSet<ModulePath>> {
    let reach: BTreeMap<_, _> = graph.keys().map(|from| (from, reachable(graph, from))).collect();
    let mut seen = BTreeSet::new();
    let mut circles = Vec::new();
    for from in graph.keys() {
        if seen.contains(from) || !reach[from].contains(from) {
            continue;
        }
        let group: BTreeSet<ModulePath> =
            reach[from].iter().filter(|to| reach[*to].contains(from)).cloned().collect();
        seen.extend(group.iter().cloned());
        circles.push(group);
    }
    circles
}

fn reachable(graph: &Graph, from: &ModulePath) -> BTreeSet<ModulePath> {
    let mut found = BTreeSet::new();
    let mut queue: VecDeque<&ModulePath> = VecDeque::from([from]);
    while let Some(module) = queue.pop_front() {
        for to in graph.get(module).into_iter().flat_map(BTreeMap::keys) {
            if found.insert(to.clone()) {
                queue.push_back(to);
            }
        }
    }
    found
}

/// The shortest cycle from the first module of a group, one line per edge.
pub(crate) fn shortest(graph: &Graph, group: &BTreeSet<ModulePath>) -> Vec<String> {
    let cycles = group.iter().filter_map(|start| cycle_through(graph, start));
    let cycle = cycles.min_by_key(Vec::len).unwrap_or_default();
    let edges = cycle.windows(2).filter_map(|pair| {
        let reason = &graph[&pair[0]].get(&pair[1])?;
        let (from, to) = (name(&pair[0]), name(&pair[1]));
        Some(format!("{from} -> {to} ({}:{}: {})", reason.file, reason.line, reason.path))
    });
    edges.collect()
}

fn cycle_through(graph: &Graph, start: &ModulePath) -> Option<Vec<ModulePath>> {
    let mut before: BTreeMap<&ModulePath, &ModulePath> = BTreeMap::new();
    let mut queue: VecDeque<&ModulePath> = VecDeque::from([start]);
    while let Some(module) = queue.pop_front() {
        for to in graph.get(module)?.keys() {
            if to == start {
                let mut cycle = vec![start.clone()];
                let mut at = module;
                while at != start {
                    cycle.push(at.clone());
                    at = before[at];
                }
                cycle.push(start.clone());
                cycle.reverse();
                return Some(cycle);
            }
            if !before.contains_key(to) {
                before.insert(to, module);
                queue.push_back(to);
            }
        }
    }
    None
}

/// A module as a Rust path.
pub(crate) fn name(module: &ModulePath) -> String {
    if module.is_empty() { "crate".to_owned() } else { module.join("::") }
}
