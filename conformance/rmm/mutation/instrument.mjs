/**
 * The RMM's sources with a switch at each check: `mutation.active` names the one that is as good as deleted. A check is
 * - `if (X) return fail("id", …)`, or a conditional expression whose second branch is `fail("id", …)`: X counts as false;
 * - `if (X) return "problem"` in a function that tells what is wrong with an address: X counts as false for the one
 *   command and argument that the switch names.
 * A condition with several such statements has a mutant for each: "RMI_X/id", "RMI_X/id#2".
 */
import ts from "typescript";

/** Functions that return a problem, which becomes a condition id where they are called. */
const HELPERS = new Set(["granuleIn", "hostPage", "hostGranule", "tableProblem", "ipaProblem"]);
const REFUSE = new Set(["fail", "refuse"]);

/** What the instrumented code calls, and who runs it sets. */
export const RUNTIME = `
export const mutation = { active: undefined, command: undefined };
const __mutant = {
  enter(command) { mutation.command = command; },
  off(id) { return mutation.active === mutation.command + "/" + id; },
  skip(ids) { return (problem) => ids[problem] !== undefined && mutation.active === mutation.command + "/" + ids[problem]; },
};
`;

const f = ts.factory;
const call = (name, ...args) =>
  f.createCallExpression(f.createPropertyAccessExpression(f.createIdentifier("__mutant"), name), undefined, args);
const text = (value) => f.createStringLiteral(value);
const notOff = (check, condition) =>
  f.createBinaryExpression(
    f.createParenthesizedExpression(condition),
    ts.SyntaxKind.AmpersandAmpersandToken,
    f.createPrefixUnaryExpression(ts.SyntaxKind.ExclamationToken, check),
  );

/** Instruments one source; `found` collects the mutants that it has. */
export function instrument(fileName, source, found) {
  const file = ts.createSourceFile(fileName, source, ts.ScriptTarget.Latest, true);
  const state = { command: undefined, counts: new Map(), links: new Map(), found };
  const result = ts.transform(file, [(context) => (root) => ts.visitNode(root, (node) => visit(node, context, state))]);
  return ts.createPrinter().printFile(result.transformed[0]);
}

function visit(node, context, state) {
  const deeper = (other) => ts.visitEachChild(node, (child) => visit(child, context, other), context);
  const definition = commandOf(node);
  if (definition !== undefined) {
    const inside = { ...state, command: definition, counts: new Map(), links: linksIn(node, definition, state.found) };
    return deeper(inside);
  }
  if (isRun(node) && state.command !== undefined) return entered(deeper(state), state.command);
  if (ts.isFunctionDeclaration(node) && node.name?.text === "psciCall") {
    return entered(deeper({ ...state, command: "PSCI", counts: new Map(), links: new Map() }), "PSCI");
  }
  if (isHelper(node)) return helper(node, context);
  if (ts.isCallExpression(node) && state.links.has(node)) {
    const ids = Object.entries(state.links.get(node)).map(([problem, id]) =>
      f.createPropertyAssignment(text(problem), text(id)),
    );
    const plain = deeper(state);
    return f.updateCallExpression(plain, plain.expression, plain.typeArguments, [
      ...plain.arguments,
      call("skip", f.createObjectLiteralExpression(ids)),
    ]);
  }
  if (ts.isIfStatement(node)) {
    const id = literalRefusal(node.thenStatement);
    if (id !== undefined && !isLinked(node.expression, state)) {
      const plain = deeper(state);
      return f.updateIfStatement(
        plain,
        notOff(call("off", text(site(id, state))), plain.expression),
        plain.thenStatement,
        plain.elseStatement,
      );
    }
  }
  if (ts.isConditionalExpression(node)) {
    const id = literalRefusal(node.whenFalse);
    if (id !== undefined) {
      const plain = deeper(state);
      const condition = f.createBinaryExpression(
        call("off", text(site(id, state))),
        ts.SyntaxKind.BarBarToken,
        f.createParenthesizedExpression(plain.condition),
      );
      return f.updateConditionalExpression(
        plain,
        condition,
        plain.questionToken,
        plain.whenTrue,
        plain.colonToken,
        plain.whenFalse,
      );
    }
  }
  return deeper(state);
}

/** The command that a definition is of: rmiCommand({ name: "…" }) and its siblings. */
function commandOf(node) {
  if (!ts.isCallExpression(node) || !ts.isIdentifier(node.expression)) return undefined;
  if (!["rmiCommand", "rsiCommand", "psciFunction"].includes(node.expression.text)) return undefined;
  const [definition] = node.arguments;
  if (definition === undefined || !ts.isObjectLiteralExpression(definition)) return undefined;
  const name = definition.properties.find((p) => ts.isPropertyAssignment(p) && p.name.getText() === "name");
  return name && ts.isStringLiteral(name.initializer) ? name.initializer.text : undefined;
}

const isRun = (node) =>
  (ts.isMethodDeclaration(node) && node.name.getText() === "run") ||
  (ts.isPropertyAssignment(node) && node.name.getText() === "run" && ts.isArrowFunction(node.initializer));

/** The command's name is known while its handler runs. */
function entered(node, command) {
  const enter = f.createExpressionStatement(call("enter", text(command)));
  const into = (body) => f.updateBlock(body, [enter, ...body.statements]);
  if (ts.isMethodDeclaration(node)) {
    return f.updateMethodDeclaration(
      node,
      node.modifiers,
      node.asteriskToken,
      node.name,
      node.questionToken,
      node.typeParameters,
      node.parameters,
      node.type,
      into(node.body),
    );
  }
  if (ts.isFunctionDeclaration(node)) {
    return f.updateFunctionDeclaration(
      node,
      node.modifiers,
      node.asteriskToken,
      node.name,
      node.typeParameters,
      node.parameters,
      node.type,
      into(node.body),
    );
  }
  const { initializer: arrow } = node;
  const body = ts.isBlock(arrow.body) ? into(arrow.body) : f.createBlock([enter, f.createReturnStatement(arrow.body)]);
  return f.updatePropertyAssignment(
    node,
    node.name,
    f.updateArrowFunction(
      arrow,
      arrow.modifiers,
      arrow.typeParameters,
      arrow.parameters,
      arrow.type,
      arrow.equalsGreaterThanToken,
      body,
    ),
  );
}

/** The id of the statement or expression that refuses with a literal one. */
function literalRefusal(node) {
  let id;
  const look = (inner) => {
    if (ts.isCallExpression(inner) && ts.isIdentifier(inner.expression) && REFUSE.has(inner.expression.text)) {
      const [first] = inner.arguments;
      if (first !== undefined && ts.isStringLiteral(first)) id ??= first.text;
    }
    ts.forEachChild(inner, look);
  };
  look(node);
  return id;
}

/** The key of this statement among those of one condition. */
function site(id, { command, counts, found }) {
  const count = (counts.get(id) ?? 0) + 1;
  counts.set(id, count);
  const key = count === 1 ? id : `${id}#${count}`;
  // Outside of a definition: whoever calls the function is asked at run time.
  if (command !== undefined) found.add(`${command}/${key}`);
  else found.add(`*/${key}`);
  return key;
}

// Problems: variables that hold what a helper returned, and the ids that they become

/** For each call of a helper in a definition: the condition id of each of its problems. */
function linksIn(definition, command, found) {
  const declared = new Map();
  const links = new Map();
  const add = (variable, problem, id) => {
    const made = declared.get(variable);
    if (made === undefined) return;
    const ids = links.get(made) ?? links.set(made, {}).get(made);
    if (ids[problem] !== undefined) return;
    ids[problem] = id;
    found.add(`${command}/${id}`);
  };
  const problemsOf = (variable) => PROBLEMS[calleeOf(declared.get(variable))] ?? [];
  const look = (node) => {
    if (
      ts.isVariableDeclaration(node) &&
      node.initializer &&
      ts.isCallExpression(node.initializer) &&
      HELPERS.has(calleeOf(node.initializer))
    ) {
      declared.set(node.name.getText(), node.initializer);
    }
    if (ts.isIfStatement(node)) {
      const variable = variableOf(node.expression);
      if (declared.has(variable)) linkRefusal(node, variable, { add, problemsOf });
    }
    ts.forEachChild(node, look);
  };
  look(definition);
  return links;
}

/** What each helper finds wrong, in its order. */
const PROBLEMS = {
  granuleIn: ["align", "bound", "state"],
  hostPage: ["align", "bound", "pas"],
  hostGranule: ["align", "bound", "pas"],
  tableProblem: ["level_bound", "ipa_bound", "ipa_align"],
  ipaProblem: ["ipa_bound", "ipa_align"],
};

const calleeOf = (node) => {
  if (node === undefined) return undefined;
  const { expression } = node;
  return ts.isPropertyAccessExpression(expression) ? expression.name.text : expression.getText();
};

/** `typeof v === "string"`, `v === "align"` or `v`: the variable that is asked. */
function variableOf(condition) {
  if (ts.isIdentifier(condition)) return condition.text;
  if (!ts.isBinaryExpression(condition)) return undefined;
  const { left } = condition;
  if (ts.isTypeOfExpression(left)) return left.expression.getText();
  return ts.isIdentifier(left) ? left.text : undefined;
}

function linkRefusal(node, variable, { add, problemsOf }) {
  const refusal = refusalIn(node.thenStatement);
  if (refusal === undefined) return;
  const [first] = refusal.arguments;
  const { expression: condition } = node;
  if (ts.isBinaryExpression(condition) && ts.isIdentifier(condition.left) && ts.isStringLiteral(condition.right)) {
    add(variable, condition.right.text, first.text);
    return;
  }
  const link = (expression, problems) => {
    if (ts.isConditionalExpression(expression)) {
      const asked = expression.condition.right.text;
      link(expression.whenTrue, [asked]);
      link(
        expression.whenFalse,
        problems.filter((problem) => problem !== asked),
      );
    } else if (ts.isStringLiteral(expression)) for (const problem of problems) add(variable, problem, expression.text);
    else if (ts.isTemplateExpression(expression))
      for (const problem of problems) add(variable, problem, expression.head.text + problem);
    else if (ts.isIdentifier(expression)) for (const problem of problems) add(variable, problem, problem);
  };
  link(first, problemsOf(variable));
}

function refusalIn(node) {
  let found;
  const look = (inner) => {
    if (ts.isCallExpression(inner) && ts.isIdentifier(inner.expression) && REFUSE.has(inner.expression.text))
      found ??= inner;
    ts.forEachChild(inner, look);
  };
  look(node);
  return found;
}

/** Whether a condition asks a variable that a helper's call has given: the switch is in the helper. */
function isLinked(condition, { links }) {
  const variable = variableOf(condition);
  if (variable === undefined) return false;
  return [...links.keys()].some(({ parent }) => ts.isVariableDeclaration(parent) && parent.name.getText() === variable);
}

// Helpers

const isHelper = (node) =>
  (ts.isFunctionDeclaration(node) || ts.isMethodDeclaration(node)) && HELPERS.has(node.name?.getText() ?? "");

/** A helper with a further parameter: the problem that it is to overlook. */
function helper(node, context) {
  const parameter = f.createParameterDeclaration(
    undefined,
    undefined,
    "__skip",
    f.createToken(ts.SyntaxKind.QuestionToken),
  );
  const inside = (inner) => {
    if (ts.isCallExpression(inner) && HELPERS.has(calleeOf(inner))) {
      return f.updateCallExpression(inner, inner.expression, inner.typeArguments, [
        ...inner.arguments,
        f.createIdentifier("__skip"),
      ]);
    }
    const plain = ts.visitEachChild(inner, inside, context);
    if (!ts.isIfStatement(plain) || !ts.isReturnStatement(plain.thenStatement)) return plain;
    const { expression } = plain.thenStatement;
    if (expression === undefined || !ts.isStringLiteral(expression)) return plain;
    const overlooked = f.createCallChain(
      f.createIdentifier("__skip"),
      f.createToken(ts.SyntaxKind.QuestionDotToken),
      undefined,
      [text(expression.text)],
    );
    return f.updateIfStatement(plain, notOff(overlooked, plain.expression), plain.thenStatement, plain.elseStatement);
  };
  const body = ts.visitEachChild(node.body, inside, context);
  if (ts.isFunctionDeclaration(node)) {
    return f.updateFunctionDeclaration(
      node,
      node.modifiers,
      node.asteriskToken,
      node.name,
      node.typeParameters,
      [...node.parameters, parameter],
      node.type,
      body,
    );
  }
  return f.updateMethodDeclaration(
    node,
    node.modifiers,
    node.asteriskToken,
    node.name,
    node.questionToken,
    node.typeParameters,
    [...node.parameters, parameter],
    node.type,
    body,
  );
}
