//! A small tree of XML elements, for rendering and parsing descriptors. Names are written with their prefixes and
//! looked up without: other programs choose different prefixes for the same namespaces.

use quick_xml::events::{BytesDecl, BytesStart, BytesText, Event};
use quick_xml::{Reader, Writer};

/// The longest descriptor that is read, bytes; real ones have a few thousand.
pub(super) const LONGEST: usize = 4 << 20;
/// The deepest nesting that is read; real descriptors have seven levels.
const DEEPEST: usize = 64;

/// An element with either text or children.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    children: Vec<Element>,
    text: String,
}

impl Element {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    #[expect(clippy::needless_pass_by_value, reason = "numbers, flags and references to texts")]
    pub(crate) fn attribute(mut self, name: &str, value: impl ToString) -> Self {
        self.attributes.push((name.to_owned(), value.to_string()));
        self
    }

    pub(crate) fn attribute_if(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.attribute(name, value),
            None => self,
        }
    }

    pub(crate) fn child(mut self, child: Element) -> Self {
        self.children.push(child);
        self
    }

    pub(crate) fn children(mut self, children: impl IntoIterator<Item = Element>) -> Self {
        self.children.extend(children);
        self
    }

    #[expect(clippy::needless_pass_by_value, reason = "numbers, flags and references to texts")]
    pub(crate) fn with_text(name: &str, text: impl ToString) -> Self {
        Self { text: text.to_string(), ..Self::new(name) }
    }

    /// A child that has only text.
    pub(crate) fn text_child(self, name: &str, text: impl ToString) -> Self {
        self.child(Self::with_text(name, text))
    }

    pub(crate) fn text_child_if(self, name: &str, text: Option<impl ToString>) -> Self {
        match text {
            Some(text) => self.text_child(name, text),
            None => self,
        }
    }

    /// The name without its prefix.
    pub(crate) fn name(&self) -> &str {
        local(&self.name)
    }

    /// The text, if there are no children.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// An attribute by its name without prefix.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| local(known) == name).map(|(_, value)| value.as_str())
    }

    /// The first child of this name.
    pub(crate) fn first(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name() == name)
    }

    /// The children of this name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| child.name() == name)
    }

    /// The text of the first child of this name.
    pub(crate) fn text_of(&self, name: &str) -> Option<&str> {
        self.first(name).map(Element::text)
    }

    /// As a document, indented.
    pub(crate) fn render(&self) -> String {
        let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
        let declaration = Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None));
        let written = writer.write_event(declaration).and_then(|()| self.write(&mut writer));
        written.expect("a Vec takes all that is written to it");
        let mut text = String::from_utf8(writer.into_inner()).expect("names and values are texts");
        text.push('\n');
        text
    }

    fn write(&self, writer: &mut Writer<Vec<u8>>) -> std::io::Result<()> {
        let mut tag = BytesStart::new(self.name.as_str());
        for (name, value) in &self.attributes {
            tag.push_attribute((name.as_bytes(), escaped(value).as_bytes()));
        }
        if self.children.is_empty() && self.text.is_empty() {
            return writer.write_event(Event::Empty(tag));
        }
        writer.write_event(Event::Start(tag.borrow()))?;
        if self.children.is_empty() {
            writer.write_event(Event::Text(BytesText::from_escaped(escaped(&self.text))))?;
        }
        self.children.iter().try_for_each(|child| child.write(writer))?;
        writer.write_event(Event::End(tag.to_end()))
    }

    /// Parses a document. Entities other than XML's own five are refused, which makes a DOCTYPE harmless.
    pub(crate) fn parse(document: &str) -> Result<Self, String> {
        if document.len() > LONGEST {
            return Err(format!("it is longer than {LONGEST} bytes"));
        }
        let mut reader = Reader::from_str(document);
        let mut open: Vec<Element> = Vec::new();
        loop {
            let event = reader.read_event().map_err(|error| error.to_string())?;
            let finished = match event {
                Event::Start(tag) if open.len() < DEEPEST => {
                    open.push(start(&tag)?);
                    continue;
                }
                Event::Start(_) => return Err(format!("it is nested deeper than {DEEPEST} elements")),
                Event::Empty(tag) => start(&tag)?,
                // The reader has checked that it matches the open element.
                Event::End(_) => open.pop().ok_or("an element ends that did not start")?.settled(),
                Event::Eof => return Err("it ends before its root element does".into()),
                event => {
                    if let Some(parent) = open.last_mut() {
                        parent.text.push_str(&text(&event)?);
                    }
                    continue;
                }
            };
            match open.last_mut() {
                Some(parent) => parent.children.push(finished),
                None => return Ok(finished),
            }
        }
    }

    /// Text between children is only indentation.
    fn settled(mut self) -> Self {
        if !self.children.is_empty() {
            self.text.clear();
        }
        self
    }
}

fn local(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

fn start(tag: &BytesStart<'_>) -> Result<Element, String> {
    let mut element = Element::new(&String::from_utf8_lossy(tag.name().as_ref()));
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        let value = attribute.unescape_value().map_err(|error| error.to_string())?;
        element = element.attribute(&String::from_utf8_lossy(attribute.key.as_ref()), value);
    }
    Ok(element)
}

fn text(event: &Event<'_>) -> Result<String, String> {
    match event {
        Event::Text(text) => text.decode().map(String::from).map_err(|error| error.to_string()),
        Event::CData(data) => data.decode().map(String::from).map_err(|error| error.to_string()),
        Event::GeneralRef(reference) => {
            if let Some(character) = reference.resolve_char_ref().map_err(|error| error.to_string())? {
                return Ok(character.to_string());
            }
            let name = reference.decode().map_err(|error| error.to_string())?;
            quick_xml::escape::resolve_xml_entity(&name)
                .map(str::to_owned)
                .ok_or_else(|| format!("&{name}; is not an entity of XML itself"))
        }
        _ => Ok(String::new()),
    }
}

/// Escapes the characters that are special in XML 1.0 (sections 2.4, 2.11 and 3.3.3). The library would not escape line
/// ends, which readers normalise, and would write characters that are not allowed in a document.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            '\t' => out.push_str("&#9;"),
            // No other characters below the space are allowed in an XML document (section 2.2).
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_entities_and_whitespace_are_parsed() {
        let text = "<?xml version='1.0'?><!-- c --><o:A x:y='1 &amp; 2'>\n <b>&lt;&#65;<![CDATA[<]]></b>\n <c/></o:A>";
        let root = Element::parse(text).unwrap();
        assert_eq!((root.name(), root.get("y"), root.text()), ("A", Some("1 & 2"), ""));
        assert_eq!(root.text_of("b"), Some("<A<"));
        assert!(root.first("c").is_some());
    }

    #[test]
    fn elements_are_indented_and_texts_are_escaped() {
        let leaf = Element::with_text("x:b", "a\n'<\u{1}>").attribute("c", "\"\t&");
        let root = Element::new("A").attribute("n", 1).child(leaf).child(Element::new("empty"));
        let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<A n=\"1\">\n  \
                        <x:b c=\"&quot;&#9;&amp;\">a&#10;'&lt;\u{fffd}&gt;</x:b>\n  <empty/>\n</A>\n";
        assert_eq!(root.render(), expected);
    }

    #[test]
    fn invalid_documents_are_refused() {
        let bomb = "<!DOCTYPE a [<!ENTITY x 'xxxx'>]><a>&x;</a>";
        assert_eq!(Element::parse(bomb).unwrap_err(), "&x; is not an entity of XML itself");
        for text in ["", "a", "<a>", "<a></b>", "</a>", "<a x='&y;'/>", "<a x/>", &"<a>".repeat(1000)] {
            assert!(Element::parse(text).is_err(), "{text}");
        }
    }
}
