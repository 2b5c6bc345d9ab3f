//! The modules of a crate: what each defines, imports and refers to.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

/// Source texts by path.
pub(crate) type Sources = BTreeMap<Utf8PathBuf, String>;

/// The place of a module in its crate: `["disk", "gpt"]` is `crate::disk::gpt`.
pub(crate) type ModulePath = Vec<String>;

/// A path as written in the source, and its line.
#[derive(Debug, Clone)]
pub(crate) struct Reference {
    pub(crate) segments: Vec<String>,
    pub(crate) line: usize,
}

/// One name that a `use` brings into a module.
#[derive(Debug, Clone)]
pub(crate) struct Import {
    /// The name in this module; `None` for a glob.
    pub(crate) name: Option<String>,
    pub(crate) target: Reference,
    /// Whether the `use` has an explicit visibility, such as `pub` or `pub(crate)`.
    pub(crate) is_reexport: bool,
}

/// A module without its tests.
#[derive(Debug, Default)]
pub(crate) struct Module {
    pub(crate) file: Utf8PathBuf,
    pub(crate) children: BTreeSet<String>,
    /// Names of the functions, types, constants, traits and macros that the module itself defines.
    pub(crate) items: BTreeSet<String>,
    pub(crate) imports: Vec<Import>,
    /// Paths in expressions, types, macros and attributes.
    pub(crate) references: Vec<Reference>,
}

/// The modules of the crate whose root is `root`.
pub(crate) fn of_crate(root: &Utf8Path, sources: &Sources) -> BTreeMap<ModulePath, Module> {
    let mut modules = BTreeMap::new();
    let folder = root.parent().unwrap_or(Utf8Path::new(""));
    add_file(Vec::new(), root, folder, sources, &mut modules);
    modules
}

/// Reads `file` as the module at `path`; the files of its children are in `folder`.
fn add_file(
    path: ModulePath,
    file: &Utf8Path,
    folder: &Utf8Path,
    sources: &Sources,
    modules: &mut BTreeMap<ModulePath, Module>,
) {
    let text = sources.get(file).unwrap_or_else(|| panic!("{file} does not exist"));
    let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("{file} cannot be parsed: {error}"));
    add_items(path, &parsed.items, file, folder, sources, modules);
}

fn add_items(
    path: ModulePath,
    items: &[syn::Item],
    file: &Utf8Path,
    folder: &Utf8Path,
    sources: &Sources,
    modules: &mut BTreeMap<ModulePath, Module>,
) {
    let mut reader = Reader { module: Module { file: file.to_owned(), ..Module::default() } };
    for item in items {
        if is_test(attributes(item)) {
            continue;
        }
        if let syn::Item::Mod(child) = item {
            let name = child.ident.to_string();
            let child_path: ModulePath = path.iter().cloned().chain([name.clone()]).collect();
            let child_folder = folder.join(&name);
            if let Some((_, items)) = &child.content {
                add_items(child_path, items, file, &child_folder, sources, modules);
            } else {
                let file = file_of(child, file, folder, sources);
                add_file(child_path, &file, &child_folder, sources, modules);
            }
            reader.module.children.insert(name);
        } else {
            reader.module.items.extend(name_of(item));
            reader.visit_item(item);
        }
    }
    modules.insert(path, reader.module);
}

/// The file of `mod name;` in `parent`.
fn file_of(child: &syn::ItemMod, parent: &Utf8Path, folder: &Utf8Path, sources: &Sources) -> Utf8PathBuf {
    let named = child.attrs.iter().find_map(|attribute| match &attribute.meta {
        syn::Meta::NameValue(pair) if pair.path.is_ident("path") => text_of(&pair.value),
        _ => None,
    });
    if let Some(named) = named {
        return parent.parent().unwrap_or(Utf8Path::new("")).join(named);
    }
    let file = folder.join(format!("{}.rs", child.ident));
    if sources.contains_key(&file) { file } else { folder.join(child.ident.to_string()).join("mod.rs") }
}

fn text_of(value: &syn::Expr) -> Option<String> {
    match value {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
        _ => None,
    }
}

/// Whether these attributes restrict the item to tests: `#[test]`, `#[cfg(test)]`.
fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg")
                && attribute.parse_args::<syn::Path>().is_ok_and(|condition| condition.is_ident("test"))
    })
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn name_of(item: &syn::Item) -> Option<String> {
    let name = match item {
        syn::Item::Const(item) => &item.ident,
        syn::Item::Enum(item) => &item.ident,
        syn::Item::Fn(item) => &item.sig.ident,
        syn::Item::Macro(item) => item.ident.as_ref()?,
        syn::Item::Static(item) => &item.ident,
        syn::Item::Struct(item) => &item.ident,
        syn::Item::Trait(item) => &item.ident,
        syn::Item::Type(item) => &item.ident,
        syn::Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}

/// Collects imports and references.
struct Reader {
    module: Module,
}

impl Reader {
    fn refer(&mut self, segments: Vec<String>, line: usize) {
        self.module.references.push(Reference { segments, line });
    }

    fn import(&mut self, tree: &syn::UseTree, before: &[String], is_reexport: bool) {
        let line = tree.span().start().line;
        let with = |name: &syn::Ident| before.iter().cloned().chain([name.to_string()]).collect::<Vec<_>>();
        let mut add = |name: Option<String>, mut segments: Vec<String>| {
            // `use a::{self}` is `use a`.
            if segments.len() > 1 && segments.last().is_some_and(|last| last == "self") {
                segments.pop();
            }
            let name = match name {
                Some(name) if name == "self" => segments.last().cloned(),
                other => other,
            };
            self.module.imports.push(Import { name, target: Reference { segments, line }, is_reexport });
        };
        match tree {
            syn::UseTree::Path(path) => self.import(&path.tree, &with(&path.ident), is_reexport),
            syn::UseTree::Name(name) => add(Some(name.ident.to_string()), with(&name.ident)),
            syn::UseTree::Rename(name) => add(Some(name.rename.to_string()), with(&name.ident)),
            syn::UseTree::Glob(_) => add(None, before.to_vec()),
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, before, is_reexport);
                }
            }
        }
    }

    /// The paths in tokens without a syntax tree: arguments of macros and attributes.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        let mut line = 0;
        let mut after_dot = false;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.end(&mut path, line);
                        line = ident.span().start().line;
                    }
                    if !after_dot {
                        path.push(ident.to_string());
                    }
                    (colons, after_dot) = (0, false);
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' && colons < 2 => colons += 1,
                TokenTree::Punct(mark) => {
                    self.end(&mut path, line);
                    (colons, after_dot) = (0, mark.as_char() == '.');
                }
                TokenTree::Group(group) => {
                    self.end(&mut path, line);
                    (colons, after_dot) = (0, false);
                    self.tokens(group.stream());
                }
                TokenTree::Literal(_) => {
                    self.end(&mut path, line);
                    (colons, after_dot) = (0, false);
                }
            }
        }
        self.end(&mut path, line);
    }

    fn end(&mut self, path: &mut Vec<String>, line: usize) {
        if !path.is_empty() {
            self.refer(std::mem::take(path), line);
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if item.leading_colon.is_none() {
            self.import(&item.tree, &[], !matches!(item.vis, syn::Visibility::Inherited));
        }
    }

    // `pub(crate)` and `pub(in crate::a)` are not dependencies.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            let segments = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.refer(segments, path.span().start().line);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        self.tokens(call.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        match &attribute.meta {
            syn::Meta::List(list) => self.tokens(list.tokens.clone()),
            syn::Meta::NameValue(_) | syn::Meta::Path(_) => {}
        }
    }
}
