import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { ROOT } from './helm.ts'

const run = promisify(execFile)

/** What of the repository is in the package besides what is compiled. */
const SHIPPED = ['package.json', 'bin', 'crds', 'schemas/compact.json', 'schemas/settings.schema.json']

describe('what npm publishes', () => {
  let folder = ''

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'headgate-package-'))
    // The compiler itself: tsc is a script that would need npm's links.
    await run(join(ROOT, 'node_modules/.bin/tsc'), [
      '-p',
      join(ROOT, 'tsconfig.build.json'),
      '--outDir',
      join(folder, 'dist'),
    ])
    for (const path of SHIPPED) await cp(join(ROOT, path), join(folder, path), { recursive: true })
    await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  })

  after(() => rm(folder, { recursive: true, force: true }))

  it('holds the program, compiled, with the schemas, a lock file, and no sources or tests', async () => {
    const { stdout } = await run('npm', ['pack', '--dry-run', '--ignore-scripts', '--json'], {
      cwd: ROOT,
      maxBuffer: 2 ** 24,
    })
    const [{ files }] = JSON.parse(stdout) as [{ files: { path: string }[] }]
    const paths = files
      .map(({ path }) => path)
      .filter((path) => !path.startsWith('dist/') && path !== 'npm-shrinkwrap.json')
    const crds = ['crds/headgate.dev_backends.yaml', 'crds/headgate.dev_routes.yaml']
    const others = [
      'LICENSE',
      'README.md',
      'bin/headgate.js',
      'package.json',
      'schemas/compact.json',
      'schemas/settings.schema.json',
    ]
    assert.deepEqual(paths.toSorted(), [...others, ...crds].toSorted())
  })

  it('runs from dist: version, validation, and a gateway with its threads', { timeout: 60_000 }, async (t) => {
    const entry = join(folder, 'bin/headgate.js')
    const { stdout } = await run(process.execPath, [entry, 'version'])
    assert.match(stdout, /^headgate \d/)
    await run(process.execPath, [entry, 'validate', join(ROOT, 'examples/shop')])

    const manifests = join(folder, 'manifests')
    await cp(join(ROOT, 'examples/shop/01-first-route.yaml'), join(manifests, 'route.yaml'))
    await writeFile(join(folder, 'settings.yaml'), 'listeners: [{ name: http, address: 127.0.0.1, port: 0 }]\n')
    const flags = ['--admin', '127.0.0.1:0', '--signals', '127.0.0.1:0', '--workers', '2', '--log-format', 'text']
    const gateway = spawn(
      process.execPath,
      [
        join(folder, 'dist/main.js'),
        'run',
        '--config',
        manifests,
        '--settings',
        join(folder, 'settings.yaml'),
        ...flags,
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    )
    t.after(() => gateway.kill('SIGKILL'))
    const lines: string[] = []
    for await (const line of createInterface({ input: gateway.stderr })) {
      lines.push(line)
      if (/ready after|fatal/i.test(line)) break
    }
    assert.match(lines.join('\n'), /ready after \d+ ms: http 127\.0\.0\.1:\d+, .* 2 workers/)
    gateway.kill('SIGTERM')
    assert.deepEqual(await once(gateway, 'exit'), [0, null])
  })
})
