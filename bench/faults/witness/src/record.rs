//! The record of one life: lines that are written as the facts happen, none of them kept back.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Where it goes. Over a bridge of this machine a datagram is with its reader when the call returns,
/// as a line of a file is, so a kill directly afterwards takes nothing back.
enum Place {
    File(File),
    Udp(UdpSocket),
}

pub struct Record {
    place: Place,
    life: String,
}

impl Record {
    /// Opens the record. Its name tells whose life it is, and where that one listens: name, process, port,
    /// control port.
    pub fn open(place: &str, name: &str, (listen, control): (SocketAddr, SocketAddr)) -> io::Result<Self> {
        let life = format!("{name},{},{},{}", std::process::id(), listen.port(), control.port());
        let place = match place.strip_prefix("udp://") {
            Some(address) => {
                let socket = UdpSocket::bind("0.0.0.0:0")?;
                socket.connect(address)?;
                Place::Udp(socket)
            }
            None => {
                let path = Path::new(place).join(format!("{life}.log"));
                Place::File(OpenOptions::new().create(true).append(true).open(path)?)
            }
        };
        Ok(Self { place, life })
    }

    /// One line, by one call of the system, with the time since 1970 in microseconds in front.
    pub fn write(&self, fact: &str) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
        let written = match &self.place {
            Place::File(file) => (&mut &*file).write_all(format!("{now} {fact}\n").as_bytes()),
            Place::Udp(socket) => socket.send(format!("{} {now} {fact}\n", self.life).as_bytes()).map(drop),
        };
        // A replica that cannot say what it did must not do it.
        if let Err(error) = written {
            eprintln!("the record: {error}");
            std::process::abort();
        }
    }
}
