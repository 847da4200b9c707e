import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'

const REPOSITORY = fileURLToPath(new URL('../../', import.meta.url))
/** A system's own Node that is too old, where this machine has one: the launcher's reason to be. */
const OLD = ['/usr/bin/node', '/usr/local/bin/node'].find((path) => existsSync(path))

function start(node: string, file: string, ...argv: string[]) {
  const child = spawn(node, [file, ...argv], { stdio: ['ignore', 'pipe', 'pipe'] })
  let out = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (out += text))
  const ended = new Promise<{ code: number | null; out: string }>((resolve) => {
    child.on('close', (code) => resolve({ code, out }))
  })
  const says = (text: string) =>
    new Promise<void>((resolve) => {
      const look = () => out.includes(text) && resolve()
      child.stdout.on('data', look)
      look()
    })
  return { child, ended, says }
}

/** An installed package with this as its compiled main, and the Node that is packaged with it. */
function install(main: string): { launcher: string; remove: () => void } {
  const root = mkdtempSync(join(tmpdir(), 'headgate-launcher-'))
  const modules = join(root, 'node_modules')
  const home = join(modules, 'headgate')
  mkdirSync(join(home, 'dist'), { recursive: true })
  cpSync(join(REPOSITORY, 'bin'), join(home, 'bin'), { recursive: true })
  writeFileSync(join(home, 'package.json'), '{"name":"headgate","type":"module"}')
  writeFileSync(join(home, 'dist', 'main.js'), main)
  const name = `node-${process.platform}-${process.arch}`
  if (existsSync(join(REPOSITORY, 'node_modules', name)))
    symlinkSync(join(REPOSITORY, 'node_modules', name), join(modules, name))
  return { launcher: join(home, 'bin', 'headgate.js'), remove: () => rmSync(root, { recursive: true }) }
}

const nodes = [process.execPath, ...(OLD === undefined ? [] : [OLD])]

describe('the launcher', () => {
  for (const node of nodes) {
    it(`runs the sources of a clone, begun by ${node === process.execPath ? 'a new Node' : 'an old one'}`, async () => {
      const { code, out } = await start(node, join(REPOSITORY, 'bin', 'headgate.js'), 'version').ended
      assert.deepEqual([code, /Node\.js v(\d+)/.exec(out)?.[1]], [0, '26'], out)
    })

    it(`passes on arguments, exit code and signals, begun by ${node === process.execPath ? 'a new Node' : 'an old one'}`, async () => {
      const { launcher, remove } = install(`
        process.on('SIGTERM', () => { console.log('drained'); process.exit(3) })
        console.log(process.version.split('.')[0], ...process.argv.slice(2))
        if (process.argv[2] === 'exit') process.exit(7)
        setInterval(() => {}, 1000)
      `)
      try {
        const exiting = await start(node, launcher, 'exit', '--a b', '').ended
        assert.deepEqual([exiting.code, exiting.out], [7, 'v26 exit --a b \n'])
        const running = start(node, launcher, 'run')
        await running.says('v26 run')
        running.child.kill('SIGTERM')
        assert.deepEqual(await running.ended, { code: 3, out: 'v26 run\ndrained\n' })
      } finally {
        remove()
      }
    })
  }
})
