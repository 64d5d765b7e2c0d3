// The client: starts `rbpipe lsp`, and shows the graph of a recipe. Everything else is the server's.
const vscode = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;

async function start(context) {
  const command = vscode.workspace.getConfiguration("rbpipe").get("path") || "rbpipe";
  const run = { command, args: ["lsp"] };
  client = new LanguageClient("rbpipe", "rbpipe", { run, debug: run }, {
    documentSelector: [{ language: "rb2" }],
  });
  try {
    await client.start();
  } catch (error) {
    const set = "Open the setting";
    const chosen = await vscode.window.showErrorMessage(
      `rbpipe: cannot start \`${command} lsp\` (${error.message ?? error}). Build rbpipe with \`cargo build --release\`, and name the program in the setting rbpipe.path.`,
      set,
    );
    if (chosen === set) {
      await vscode.commands.executeCommand("workbench.action.openSettings", "rbpipe.path");
    }
  }
}

async function restart(context) {
  if (client?.isRunning()) {
    await client.stop();
  }
  await start(context);
}

/** Asks for a profile among those of the recipe; `undefined` when the author goes away. */
async function chooseProfile(text) {
  const names = [...text.matchAll(/^profile\s+([a-z_]\w*)/gm)].map((found) => found[1]);
  if (names.length === 0) {
    return { name: undefined };
  }
  const items = [{ label: "defaults" }, ...names.map((name) => ({ label: name, name }))];
  return vscode.window.showQuickPick(items, { placeHolder: "The graph of which profile?" });
}

async function graph() {
  const document = vscode.window.activeTextEditor?.document;
  if (document?.languageId !== "rb2" || !client?.isRunning()) {
    return;
  }
  const profile = await chooseProfile(document.getText());
  if (!profile) {
    return;
  }
  const params = { textDocument: { uri: document.uri.toString() }, profile: profile.name ?? null, format: "svg" };
  try {
    const answer = await client.sendRequest("rbpipe/graph", params);
    const title = `Graph of ${vscode.workspace.asRelativePath(document.uri)}${profile.name ? `, ${profile.name}` : ""}`;
    const panel = vscode.window.createWebviewPanel("rbpipe.graph", title, vscode.ViewColumn.Beside, {});
    panel.webview.html = `<!DOCTYPE html><meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<body style="background: white; padding: 0">${answer.text}</body>`;
  } catch (error) {
    vscode.window.showErrorMessage(`rbpipe: ${error.message ?? error}`);
  }
}

exports.activate = async (context) => {
  context.subscriptions.push(
    vscode.commands.registerCommand("rbpipe.graph", graph),
    vscode.commands.registerCommand("rbpipe.restart", () => restart(context)),
    vscode.workspace.onDidChangeConfiguration((change) => {
      if (change.affectsConfiguration("rbpipe.path")) {
        restart(context);
      }
    }),
  );
  await start(context);
};

exports.deactivate = () => client?.stop();
