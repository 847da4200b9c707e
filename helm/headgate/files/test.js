const { request: http } = require('node:http')
const { request: https } = require('node:https')

const host =
  process.env[`${process.env.SERVICE.toUpperCase().replaceAll('-', '_')}_SERVICE_HOST`] ?? process.env.SERVICE

/** The alert unrecognized_name: in the code of the error where it was read, in the message of EPROTO within a write. */
const tellsNoCertificate = ({ code, message }) => /UNRECOGNIZED_NAME|unrecognized name/.test(`${code} ${message}`)

/** No host of anybody: 404 is the usual answer, but a Route for every host may answer as it likes. */
function ask(protocol, port) {
  return new Promise((resolve, reject) => {
    const open = protocol === 'https' ? https : http
    const options = {
      host,
      port,
      path: '/',
      headers: { host: 'helm-test.invalid' },
      rejectUnauthorized: false,
      timeout: 10_000,
    }
    open(options, (response) => {
      response.resume()
      response.on('end', () => resolve(`status ${response.statusCode}`))
    })
      .on('timeout', () => reject(new Error('no answer within 10 s')))
      // Without a default certificate nobody's host gets a handshake, and this is the answer.
      .on('error', (error) => (tellsNoCertificate(error) ? resolve('no certificate yet') : reject(error)))
      .end()
  })
}

async function main() {
  for (const entry of process.env.PORTS.split(' ').filter((text) => text !== '')) {
    const [protocol, port] = entry.split('://')
    console.log(`${protocol}://${host}:${port}: ${await ask(protocol, Number(port))}`)
  }
}

main().then(
  // A request that timed out still has its socket.
  () => process.exit(0),
  (error) => {
    console.error(`${host}: ${error.message}`)
    process.exit(1)
  },
)
