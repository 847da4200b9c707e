/**
 * A frontend as those hold it who accepted a connection for it. Whatever the settings say of that name or that socket
 * later, a request is matched by the frontend that accepted its connection. Each version of the frontend directory
 * resolves the name once; after that a request finds its row by comparing two numbers.
 */
export class FrontendHandle {
  readonly name: string
  /** Serial number of the directory in which the name was last looked up: see `FrontendDirectory.serial`. */
  directory = 0
  /** Its row there. Only a number is kept, so that a frontend without traffic holds no old tables. */
  row = 0

  constructor(name: string) {
    this.name = name
  }
}
