/** h2spec (https://github.com/summerwind/h2spec): found in the user's cache, or built there by Go. */
import { execFile, spawnSync } from 'node:child_process'
import { accessSync, constants, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const FOLDER = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'headgate', 'tools')
const PROGRAM = join(FOLDER, 'h2spec')
const PACKAGE = 'github.com/summerwind/h2spec/cmd/h2spec@latest'

/** Milliseconds in which Go fetches and builds it. */
const BUILD = 240_000

/** @returns the path of the program, or one sentence that says why it is not there */
export function h2spec(): { readonly path: string } | { readonly missing: string } {
  if (isThere()) return { path: PROGRAM }
  mkdirSync(FOLDER, { recursive: true })
  // Go writes the program where it is to be: another process must not start half of it.
  const folder = mkdtempSync(join(FOLDER, 'build-'))
  try {
    const env = { ...process.env, GOBIN: folder, GOFLAGS: '-mod=mod' }
    const built = spawnSync('go', ['install', PACKAGE], { env, timeout: BUILD, encoding: 'utf8', cwd: folder })
    if (built.status === 0) renameSync(join(folder, 'h2spec'), PROGRAM)
    if (isThere()) return { path: PROGRAM }
    const why = built.error?.message ?? built.stderr.trim().split('\n').at(-1)
    return { missing: `h2spec is missing, and Go did not build it (GOBIN=${FOLDER} go install ${PACKAGE}): ${why}` }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function isThere(): boolean {
  try {
    accessSync(PROGRAM, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** @returns what it prints, whether its cases pass or not */
export async function runH2spec(path: string, arguments_: readonly string[]): Promise<string> {
  try {
    return (await promisify(execFile)(path, arguments_, { timeout: 240_000 })).stdout
  } catch (error) {
    const { stdout } = error as { readonly stdout?: string }
    if (stdout) return stdout
    throw error
  }
}
