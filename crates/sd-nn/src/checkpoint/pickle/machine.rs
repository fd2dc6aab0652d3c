//! The stack machine.

use std::{collections::HashMap, sync::Arc};

use super::{Node, NodeId, PickleProblem, reader::Reader};

/// Operations of one pickle. A checkpoint with the state of its optimiser takes some hundred thousand.
const MAX_OPERATIONS: u64 = 1 << 21;

/// Values of one pickle.
const MAX_NODES: usize = 1 << 20;

/// Longest name of a class or function, in bytes. Strings of the memo make long names with short opcodes.
const MAX_NAME: usize = 512;

/// Newest protocol.
const MAX_PROTOCOL: u8 = 5;

/// The values of a pickle that was read to its end.
#[derive(Debug)]
pub(crate) struct Pickle {
    pub(crate) nodes: Vec<Node>,
    pub(crate) root: NodeId,
    /// Length in bytes.
    pub(crate) len: usize,
}

impl Pickle {
    pub(crate) fn node(&self, id: NodeId) -> &Node {
        self.nodes.get(id as usize).unwrap_or(&Node::None)
    }

    pub(crate) fn root(&self) -> &Node {
        self.node(self.root)
    }
}

/// Reads the pickle at the start of these bytes.
pub(crate) fn load(bytes: &[u8]) -> Result<Pickle, PickleProblem> {
    let mut machine = Machine {
        reader: Reader::new(bytes),
        nodes: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        operations: 0,
        tensors: 0,
        offset: 0,
    };
    loop {
        machine.charge(1)?;
        machine.offset = machine.reader.at();
        let opcode = machine.reader.u8()?;
        if opcode == b'.' {
            let root = machine.pop()?;
            return Ok(Pickle { nodes: machine.nodes, root, len: machine.reader.at() });
        }
        machine.step(opcode)?;
    }
}

pub(super) struct Machine<'a> {
    pub(super) reader: Reader<'a>,
    pub(super) nodes: Vec<Node>,
    stack: Vec<NodeId>,
    /// Lengths of the stack where marks were set.
    marks: Vec<usize>,
    memo: HashMap<u64, NodeId>,
    operations: u64,
    pub(super) tensors: u64,
    /// Where the opcode stands that is being worked on.
    pub(super) offset: usize,
}

type Step = Result<(), PickleProblem>;

impl Machine<'_> {
    /// Accounts for work, so that no pickle costs more than its limit.
    pub(super) fn charge(&mut self, operations: usize) -> Step {
        self.operations += operations as u64;
        match self.operations > MAX_OPERATIONS {
            true => Err(PickleProblem::TooMuch { what: "operations", limit: MAX_OPERATIONS }),
            false => Ok(()),
        }
    }

    pub(super) fn unexpected(&self, expected: &'static str, found: NodeId) -> PickleProblem {
        let found = self.nodes.get(found as usize).unwrap_or(&Node::None).kind();
        PickleProblem::Unexpected { offset: self.offset, expected, found }
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        self.nodes.get(id as usize).unwrap_or(&Node::None)
    }

    fn step(&mut self, opcode: u8) -> Step {
        match opcode {
            // Protocol, frame.
            0x80 => self.protocol(),
            0x95 => self.reader.u64().map(drop),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'0' => self.pop().map(drop),
            b'1' => self.pop_mark().map(drop),
            b'2' => {
                let top = self.pop()?;
                self.stack.extend([top, top]);
                Ok(())
            }
            b'p' | b'q' | b'r' | 0x94 => self.store(opcode),
            b'g' | b'h' | b'j' => self.recall(opcode),
            b'a' | b'e' | b's' | b'u' | 0x90 => self.fill(opcode),
            b'c' | 0x93 | b'R' | 0x81 | 0x92 | b'i' | b'o' | b'b' | b'Q' => self.object(opcode),
            b')' | b't' | 0x85..=0x87 | b']' | b'l' | b'}' | b'd' | 0x8f | 0x91 => {
                self.container(opcode)
            }
            _ => {
                let node = self.constant(opcode)?;
                self.push(node)
            }
        }
    }

    fn protocol(&mut self) -> Step {
        let found = self.reader.u8()?;
        let expected = "a protocol from 0 to 5";
        match found <= MAX_PROTOCOL {
            true => Ok(()),
            false => Err(PickleProblem::Malformed { offset: self.offset + 1, expected }),
        }
    }

    /// Tuples, lists, dictionaries and sets.
    fn container(&mut self, opcode: u8) -> Step {
        let node = match opcode {
            b')' => Node::Tuple(Box::default()),
            b']' | 0x8f => Node::List(Vec::new()),
            b'}' => Node::Dict(Vec::new()),
            b't' => Node::Tuple(self.pop_mark()?.into()),
            b'l' | 0x91 => Node::List(self.pop_mark()?),
            b'd' => {
                let items = self.pop_mark()?;
                Node::Dict(self.pairs(&items)?)
            }
            _ => {
                let mut items = Vec::new();
                for _ in 0..=(opcode - 0x85) {
                    items.insert(0, self.pop()?);
                }
                Node::Tuple(items.into())
            }
        };
        self.push(node)
    }

    /// Adds items to the list or dictionary below them.
    fn fill(&mut self, opcode: u8) -> Step {
        let items = match opcode {
            b'a' => vec![self.pop()?],
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => self.pop_mark()?,
        };
        let into_dict = matches!(opcode, b's' | b'u');
        let pairs = if into_dict { self.pairs(&items)? } else { Vec::new() };
        let target = self.pop()?;
        self.stack.push(target);
        match self.nodes.get_mut(target as usize) {
            Some(Node::Dict(dict)) if into_dict => dict.extend(pairs),
            Some(Node::List(list)) if !into_dict => list.extend(items),
            // What trainers' objects contain is not kept.
            Some(Node::Opaque(_)) => {}
            _ => return Err(self.unexpected("a container", target)),
        }
        Ok(())
    }

    pub(super) fn pairs(&self, items: &[NodeId]) -> Result<Vec<(NodeId, NodeId)>, PickleProblem> {
        match items.as_chunks::<2>() {
            (pairs, []) => Ok(pairs.iter().map(|&[key, value]| (key, value)).collect()),
            (_, [last]) => Err(self.unexpected("a value for its last key", *last)),
            _ => Ok(Vec::new()),
        }
    }

    /// Names, calls, and references to storages.
    fn object(&mut self, opcode: u8) -> Step {
        match opcode {
            b'c' => {
                let global = self.global_in_text()?;
                self.push(Node::Global(global))
            }
            0x93 => {
                let name = self.pop()?;
                let module = self.pop()?;
                let (Node::Text(module_name), Node::Text(name)) =
                    (self.node(module), self.node(name))
                else {
                    return Err(self.unexpected("two strings that make a name", module));
                };
                let global = global(module_name, name)?;
                self.push(Node::Global(global))
            }
            // These call what they name; no checkpoint that is newer than Python 2.2 has them.
            b'i' => {
                let name = self.global_in_text()?.to_string();
                Err(PickleProblem::Forbidden { name, offset: self.offset })
            }
            b'o' => {
                let items = self.pop_mark()?;
                Err(match items.first().map(|&id| (id, self.node(id))) {
                    Some((_, Node::Global(name))) => self.forbidden(name),
                    first => self.unexpected("a class", first.map_or(0, |(id, _)| id)),
                })
            }
            b'b' => self.build(),
            b'Q' => {
                let id = self.pop()?;
                let storage = self.storage(id)?;
                self.push(Node::Storage(Arc::new(storage)))
            }
            _ => {
                let _keywords = if opcode == 0x92 { Some(self.pop()?) } else { None };
                let arguments = self.pop()?;
                let function = self.pop()?;
                let result = self.call(function, arguments)?;
                self.stack.push(result);
                Ok(())
            }
        }
    }

    fn global_in_text(&mut self) -> Result<Arc<str>, PickleProblem> {
        let module = self.reader.line()?;
        let name = self.reader.line()?;
        global(module, name)
    }

    fn build(&mut self) -> Step {
        let state = self.pop()?;
        let target = self.pop()?;
        self.stack.push(target);
        self.set_state(target, state)
    }

    fn store(&mut self, opcode: u8) -> Step {
        let index = match opcode {
            b'p' => self.index_in_text()?,
            b'q' => self.reader.u8()?.into(),
            b'r' => self.reader.u32()?.into(),
            _ => self.memo.len() as u64,
        };
        let top = self.pop()?;
        self.stack.push(top);
        self.memo.insert(index, top);
        Ok(())
    }

    fn recall(&mut self, opcode: u8) -> Step {
        let index = match opcode {
            b'g' => self.index_in_text()?,
            b'h' => self.reader.u8()?.into(),
            _ => self.reader.u32()?.into(),
        };
        let Some(&node) = self.memo.get(&index) else {
            return Err(PickleProblem::NotStored { offset: self.offset, index });
        };
        self.stack.push(node);
        Ok(())
    }

    fn index_in_text(&mut self) -> Result<u64, PickleProblem> {
        let offset = self.reader.at();
        let line = self.reader.line()?;
        line.parse().map_err(|_| PickleProblem::Malformed { offset, expected: "a number" })
    }

    pub(super) fn add(&mut self, node: Node) -> Result<NodeId, PickleProblem> {
        if self.nodes.len() >= MAX_NODES {
            return Err(PickleProblem::TooMuch { what: "values", limit: MAX_NODES as u64 });
        }
        self.nodes.push(node);
        Ok((self.nodes.len() - 1) as NodeId)
    }

    fn push(&mut self, node: Node) -> Step {
        let id = self.add(node)?;
        self.stack.push(id);
        Ok(())
    }

    /// Takes the top of the stack, which does not reach below the last mark.
    fn pop(&mut self) -> Result<NodeId, PickleProblem> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let top = if self.stack.len() > floor { self.stack.pop() } else { None };
        top.ok_or_else(|| self.nothing("a value on the stack"))
    }

    /// Takes all values above the last mark, and the mark.
    fn pop_mark(&mut self) -> Result<Vec<NodeId>, PickleProblem> {
        match self.marks.pop() {
            Some(floor) => Ok(self.stack.split_off(floor)),
            None => Err(self.nothing("a mark on the stack")),
        }
    }

    fn nothing(&self, expected: &'static str) -> PickleProblem {
        PickleProblem::Unexpected { offset: self.offset, expected, found: "none".into() }
    }
}

/// The name of a class or function.
fn global(module: &str, name: &str) -> Result<Arc<str>, PickleProblem> {
    if module.len() + name.len() > MAX_NAME {
        let what = "bytes in a name";
        return Err(PickleProblem::TooMuch { what, limit: MAX_NAME as u64 });
    }
    Ok(format!("{module}.{name}").into())
}
