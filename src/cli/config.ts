/** Composes the settings for commands, and implements `headgate config`. */
import { resolve } from 'node:path'
import { Document, isCollection, isMap, isNode, isSeq, type Node, type Scalar } from 'yaml'
import { formatPath } from '../api/object.ts'
import type { SettingsObject } from '../api/settings.ts'
import { displayPath } from '../source/folder/display-path.ts'
import {
  composeSettings,
  formatSettingsProblem,
  originText,
  readSettingsText,
  type SettingsChecker,
  type SettingsOverride,
  type SettingsResult,
} from '../source/settings.ts'
import type { CommandIo } from './io.ts'
import type { ConfigCommand } from './parse.ts'

/** Reads the settings file, if any, and applies the flags. */
export async function settingsOf(
  path: string | undefined,
  overrides: readonly SettingsOverride[],
  checker: SettingsChecker,
): Promise<SettingsResult> {
  if (path === undefined) return composeSettings(null, overrides, checker)
  const full = resolve(path)
  const read = await readSettingsText(full, displayPath(full))
  return read.ok ? composeSettings(read, overrides, checker) : { ok: false, problems: [read.problem] }
}

/** `headgate config`: prints the effective settings, each value with its origin. */
export async function showConfig(command: ConfigCommand, checker: SettingsChecker, io: CommandIo): Promise<number> {
  const composed = await settingsOf(command.settings, command.overrides, checker)
  if (!composed.ok) {
    for (const problem of composed.problems) io.err(`${formatSettingsProblem(problem)}\n`)
    return 1
  }
  for (const warning of composed.warnings) io.err(`${formatSettingsProblem(warning)}\n`)
  io.out(command.output === 'json' ? asJson(composed) : asYaml(composed))
  return 0
}

type Composed = SettingsResult & { readonly ok: true }
type Path = readonly (string | number)[]

function asYaml({ settings, originOf }: Composed): string {
  const document = new Document<Node>(inOrder(settings))
  const annotate = (node: unknown, path: Path): void => {
    if (isMap(node) && node.items.length > 0)
      for (const { key, value } of node.items) annotate(value, [...path, String((key as Scalar).value)])
    else if (isSeq(node) && node.items.length > 0)
      for (const [index, item] of node.items.entries()) annotate(item, [...path, index])
    else if (isNode(node)) {
      if (isCollection(node)) node.flow = true
      node.comment = ` ${originText(originOf(path))}`
    }
  }
  annotate(document.contents, [])
  return document.toString({ lineWidth: 0 })
}

/** Sorted as in the documentation. */
const ORDER: readonly string[] = [
  'ingressClass',
  'listeners',
  'admin',
  'signals',
  'peers',
  'clientAddress',
  'tls',
  'policies',
  'tenancy',
  'hostnames',
  'hostnameHold',
  'upstreams',
  'plugins',
  'limits',
  'topology',
  'accessLog',
  'tracing',
  'redis',
  'stateDirectory',
  'stateKeyFile',
  'watchNamespaces',
] satisfies (keyof SettingsObject)[]

function inOrder(settings: SettingsObject): unknown {
  return Object.fromEntries(Object.entries(settings).sort(([a], [b]) => ORDER.indexOf(a) - ORDER.indexOf(b)))
}

function asJson({ settings, originOf }: Composed): string {
  const origins: Record<string, string> = {}
  const walk = (value: unknown, path: Path): void => {
    if (typeof value === 'object' && value !== null && Object.keys(value).length > 0)
      for (const [key, child] of Object.entries(value)) walk(child, [...path, Array.isArray(value) ? Number(key) : key])
    else origins[formatPath(path)] = originText(originOf(path))
  }
  const ordered = inOrder(settings)
  walk(ordered, [])
  return `${JSON.stringify({ settings: ordered, origins }, null, 2)}\n`
}
