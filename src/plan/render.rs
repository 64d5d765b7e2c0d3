//! The graph as text, dot, Mermaid or JSON.

use std::fmt::Write;

use petgraph::Direction;
use serde_json::{Value as Json, json};

use super::artifact::NodeId;
use super::graph::{Edge, Graph};
use super::select::Selection;

/// Prints nodes with what they read, inputs first.
pub fn text(graph: &Graph, selection: &Selection) -> String {
    let mut out = String::new();
    for id in graph.order().into_iter().filter(|id| selection.nodes.contains(id)) {
        let node = graph.node(id);
        let reads: Vec<String> = node.inputs.iter().map(|i| graph.result_name(i.node, &i.field)).collect();
        let mark = if node.stage { "*" } else { " " };
        let _ = write!(out, "{mark} {}  ({})", node.name, node.op);
        if !reads.is_empty() {
            let _ = write!(out, "  ← {}", reads.join(", "));
        }
        out.push('\n');
    }
    for &at in &selection.outputs {
        let output = &graph.outputs[at];
        let mut found = Vec::new();
        output.value.artifacts(&mut found);
        let from: Vec<String> = found.iter().map(|a| graph.result_name(a.node, &a.field)).collect();
        let to = output.to.as_ref().map_or(String::new(), |p| format!("  → {}", p.display()));
        let _ = writeln!(out, "> {}  ← {}{to}", output.name, from.join(", "));
    }
    out
}

/// Returns the graph in Graphviz's language.
pub fn dot(graph: &Graph, selection: &Selection) -> String {
    let mut out = String::from("digraph recipe {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n");
    for (id, node) in nodes(graph, selection) {
        let shape = if node.gate.is_some() { ", shape=diamond" } else { "" };
        let bold = if node.stage { ", style=bold" } else { "" };
        let label = format!("{}\n{}", node.name, node.op);
        let _ = writeln!(out, "  n{} [label={}{shape}{bold}];", id.index(), Json::String(label));
    }
    for (from, to, edge) in edges(graph, selection) {
        let style = if edge == Edge::Gate { " [style=dashed]" } else { "" };
        let _ = writeln!(out, "  n{} -> n{}{style};", from.index(), to.index());
    }
    out.push_str("}\n");
    out
}

/// Returns the graph in Mermaid's language.
pub fn mermaid(graph: &Graph, selection: &Selection) -> String {
    let mut out = String::from("flowchart LR\n");
    let escape = |s: &str| s.replace('"', "#quot;").replace('<', "&lt;").replace('>', "&gt;");
    for (id, node) in nodes(graph, selection) {
        let (open, close) = if node.gate.is_some() { ("{{", "}}") } else { ("[", "]") };
        let _ = writeln!(out, "  n{}{open}\"{}<br/>{}\"{close}", id.index(), escape(&node.name), escape(&node.op));
    }
    for (from, to, edge) in edges(graph, selection) {
        let arrow = if edge == Edge::Gate { "-.->" } else { "-->" };
        let _ = writeln!(out, "  n{} {arrow} n{}", from.index(), to.index());
    }
    out
}

/// Returns the graph as JSON: nodes with their arguments, edges by name.
pub fn json(graph: &Graph, selection: &Selection) -> Json {
    let list: Vec<Json> = nodes(graph, selection)
        .map(|(_, n)| {
            let inputs: Vec<Json> = n
                .inputs
                .iter()
                .map(|i| json!({ "slot": i.slot, "from": graph.result_name(i.node, &i.field) }))
                .collect();
            json!({ "name": n.name, "op": n.op, "stage": n.stage, "args": n.args, "with": n.with, "inputs": inputs })
        })
        .collect();
    let edges: Vec<Json> = edges(graph, selection)
        .map(|(a, b, e)| json!({ "from": graph.node(a).name, "to": graph.node(b).name, "gate": e == Edge::Gate }))
        .collect();
    let outputs: Vec<Json> = selection
        .outputs
        .iter()
        .map(|&at| {
            let o = &graph.outputs[at];
            let mut found = Vec::new();
            o.value.artifacts(&mut found);
            let from: Vec<String> = found.iter().map(|a| graph.result_name(a.node, &a.field)).collect();
            json!({ "name": o.name, "from": from, "to": o.to })
        })
        .collect();
    json!({ "nodes": list, "edges": edges, "outputs": outputs })
}

/// Returns the graph as an SVG picture: columns by depth, one box a node, filled with a color.
pub fn svg(graph: &Graph, selection: &Selection, fill: &dyn Fn(NodeId) -> &'static str) -> String {
    const W: usize = 220;
    const H: usize = 44;
    let mut depth = std::collections::BTreeMap::new();
    let mut column_sizes: Vec<usize> = Vec::new();
    let mut places = std::collections::BTreeMap::new();
    for id in graph.order().into_iter().filter(|id| selection.nodes.contains(id)) {
        let d = graph
            .dag
            .neighbors_directed(id, Direction::Incoming)
            .filter_map(|p| depth.get(&p))
            .max()
            .map_or(0, |d: &usize| d + 1);
        depth.insert(id, d);
        if column_sizes.len() <= d {
            column_sizes.resize(d + 1, 0);
        }
        places.insert(id, (20 + d * (W + 60), 20 + column_sizes[d] * (H + 16)));
        column_sizes[d] += 1;
    }
    let width = 40 + column_sizes.len() * (W + 60);
    let height = 40 + column_sizes.iter().max().copied().unwrap_or(0) * (H + 16);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n"
    );
    for (from, to, edge) in edges(graph, selection) {
        let ((x1, y1), (x2, y2)) = (places[&from], places[&to]);
        let (x1, y1, y2) = (x1 + W, y1 + H / 2, y2 + H / 2);
        let middle = x1.midpoint(x2);
        let dash = if edge == Edge::Gate { " stroke-dasharray=\"4 3\"" } else { "" };
        let _ = writeln!(
            out,
            "<path d=\"M{x1} {y1} C{middle} {y1} {middle} {y2} {x2} {y2}\" fill=\"none\" stroke=\"#888\"{dash}/>"
        );
    }
    let escape = |s: &str| s.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    for (id, node) in nodes(graph, selection) {
        let (x, y) = places[&id];
        let stroke = if node.stage { 2 } else { 1 };
        let name: String = node.name.chars().take(34).collect();
        let _ = writeln!(
            out,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{W}\" height=\"{H}\" rx=\"5\" fill=\"{}\" stroke=\"#333\" stroke-width=\"{stroke}\"/>\
             <text x=\"{}\" y=\"{}\">{}</text><text x=\"{}\" y=\"{}\" fill=\"#777\">{}</text>",
            fill(id),
            x + 8,
            y + 18,
            escape(&name),
            x + 8,
            y + 34,
            escape(&node.op)
        );
    }
    out.push_str("</svg>\n");
    out
}

fn nodes<'g>(graph: &'g Graph, selection: &'g Selection) -> impl Iterator<Item = (NodeId, &'g super::graph::Node)> {
    graph.dag.node_indices().filter(|id| selection.nodes.contains(id)).map(|id| (id, graph.node(id)))
}

fn edges<'g>(graph: &'g Graph, selection: &'g Selection) -> impl Iterator<Item = (NodeId, NodeId, Edge)> {
    graph.dag.edge_indices().filter_map(|e| {
        let (a, b) = graph.dag.edge_endpoints(e)?;
        (selection.nodes.contains(&a) && selection.nodes.contains(&b)).then(|| (a, b, graph.dag[e]))
    })
}
