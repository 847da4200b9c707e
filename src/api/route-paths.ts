/**
 * What a schema cannot say about the paths and expressions of a Route: that a request path can ever have the form that
 * is written, and that an expression is small enough to be matched on every request.
 */

import { requestPath, unmatchablePattern } from '../pattern/manifest-path.ts'
import { normalizePath } from '../pattern/path.ts'
import { compilePattern } from '../pattern/regex.ts'
import type { FieldProblem } from './object.ts'
import type { PathRewritePolicy, Policies } from './policies.ts'
import type { Route, RouteMatch, RouteValueMatch } from './route.ts'

type Path = readonly (string | number)[]

/** @param route valid by its schema */
export function* pathProblems(route: Route): Generator<void, FieldProblem[]> {
  const problems: FieldProblem[] = []
  const { spec } = route
  for (const [i, delegate] of (spec.delegates ?? []).entries())
    for (const [j, prefix] of delegate.pathPrefixes.entries())
      checkPath(prefix, ['spec', 'delegates', i, 'pathPrefixes', j], problems)
  checkPolicies(spec.policies, ['spec', 'policies'], problems)
  checkPolicies(spec.policies?.enforced, ['spec', 'policies', 'enforced'], problems)
  for (const [i, rule] of (spec.rules ?? []).entries()) {
    const at = ['spec', 'rules', i]
    for (const [j, match] of (rule.matches ?? []).entries()) {
      checkMatch(match, [...at, 'matches', j], problems)
      yield
    }
    checkPolicies(rule.policies, [...at, 'policies'], problems)
    checkRewrite(rule.redirect?.path, [...at, 'redirect', 'path'], problems)
  }
  return problems
}

function checkMatch(match: RouteMatch, at: Path, problems: FieldProblem[]): void {
  const { path } = match
  if (path !== undefined) {
    if (path.type === 'RegularExpression') checkPathPattern(path.value, [...at, 'path', 'value'], problems)
    else checkPath(path.value, [...at, 'path', 'value'], problems)
  }
  checkValues(match.headers, [...at, 'headers'], problems)
  checkValues(match.queryParams, [...at, 'queryParams'], problems)
  checkValues(match.cookies, [...at, 'cookies'], problems)
}

function checkValues(list: readonly RouteValueMatch[] | undefined, at: Path, problems: FieldProblem[]): void {
  for (const [i, { type, value }] of (list ?? []).entries())
    if (type === 'RegularExpression' && value !== undefined) checkPattern(value, [...at, i, 'value'], problems)
}

function checkPolicies(policies: Policies | undefined, at: Path, problems: FieldProblem[]): void {
  checkRewrite(policies?.rewrite?.path, [...at, 'rewrite', 'path'], problems)
}

function checkRewrite(path: PathRewritePolicy | undefined, at: Path, problems: FieldProblem[]): void {
  const pattern = path?.replaceRegex?.pattern
  if (pattern !== undefined) checkPathPattern(pattern, [...at, 'replaceRegex', 'pattern'], problems)
  for (const field of ['replaceFullPath', 'replacePrefixMatch'] as const)
    if (path?.[field] !== undefined) checkReplacement(path[field], [...at, field], problems)
}

/** What is not in normal form is refused at each request: see `compilePathRewrite`. */
function checkReplacement(value: string, path: Path, problems: FieldProblem[]): void {
  const mark = value.indexOf('?')
  const written = mark === -1 ? value : value.slice(0, mark)
  const normal = normalizePath(written, 'KeepEncodedSlash')
  if (normal === written) return
  const instead = normal === undefined ? 'write a path that a request can have' : `write ${normal}`
  const message = `every request would be answered with 400 BadRewrite, since this path is not in normal form; ${instead}`
  problems.push({ path, reason: 'Invalid', message })
}

function checkPath(value: string, path: Path, problems: FieldProblem[]): void {
  const read = requestPath(value)
  if ('fault' in read)
    problems.push({ path, reason: 'Invalid', message: `no request can have this path: ${read.fault}` })
}

function checkPathPattern(value: string, path: Path, problems: FieldProblem[]): void {
  checkPattern(value, path, problems)
  const fault = unmatchablePattern(value)
  if (fault !== undefined)
    problems.push({ path, reason: 'Invalid', message: `a part of this is never found: ${fault}` })
}

function checkPattern(value: string, path: Path, problems: FieldProblem[]): void {
  const pattern = compilePattern(value)
  if ('error' in pattern) problems.push({ path, reason: 'Invalid', message: `cannot be used: ${pattern.error}` })
}
